"""The sensors: the switch of the streams, lineage, replays of changed logic. They start no JVM."""
