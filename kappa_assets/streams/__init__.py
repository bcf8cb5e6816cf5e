"""Streams: moving data from table to table, exactly once, and the host that keeps it going."""
