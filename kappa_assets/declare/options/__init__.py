"""What a declaration says of a table beside its function: one module for each option."""
