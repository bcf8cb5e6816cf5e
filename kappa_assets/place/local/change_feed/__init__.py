"""What a commit that replaces files tells those who follow the table: the rows that differ, and no others."""
