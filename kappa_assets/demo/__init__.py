"""The demo: `make run`, and the feed that plays the shop. No part of a real pipeline."""
