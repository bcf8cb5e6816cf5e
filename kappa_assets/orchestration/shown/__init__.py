"""What is known of tables and replays, as Dagster shows it: columns, tables, pictures."""
