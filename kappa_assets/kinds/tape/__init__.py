"""Bronze: how what a source brings gets onto a tape."""
