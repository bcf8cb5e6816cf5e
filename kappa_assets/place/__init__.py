"""Where a lake lies and how it is written to: the port that all others know, this machine's folders, the registry."""
