"""What becomes of each row that a table judges: by its expectations, and by the moment in which it came."""
