"""The feed: events of an invented shop, the same for the same seed, with a journal of what was sent."""
