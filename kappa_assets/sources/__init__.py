"""Sources: how rows get from outside onto a tape."""
