"""Whether work is still wanted: what takes long asks again and again, and stops when it is given a reason."""

from __future__ import annotations


def never() -> str | None:
    """Return no reason to stop: the switch that is never turned off."""
    return None
