"""A lake in local folders: its paths, its locks, its disk."""
