"""Silver whose rows are unique: what was sent twice is in the table once."""
