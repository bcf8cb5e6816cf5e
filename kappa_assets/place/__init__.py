"""Where a lake lies and how it is written to: this machine's folders and locks, and the registry."""
