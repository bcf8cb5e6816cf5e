"""The command line, driven as people and programs drive it."""
