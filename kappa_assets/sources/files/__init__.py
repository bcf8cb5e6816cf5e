"""Files that land in a folder, as a source: told apart, looked through, read, set aside, moved away."""
