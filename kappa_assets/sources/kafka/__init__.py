"""Topics of Kafka as sources of tapes."""
