"""Named points of the work where a test makes the process die. In production nothing is ever injected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Point = Literal[
    "planned",
    "before_offsets",
    "after_rejects",
    "fence_seen",
    "after_commit",
    "between_tables",
    "registry_change",
    "optimizing",
    "building",
    "comparing",
    "slice_written",
    "slice_repaired",
    "rows_marked",
    "rows_released",
    "retrying",
]

_hooks: list[Callable[[Point, str], None]] = []


def inject(hook: Callable[[Point, str], None]) -> None:
    """Have `hook(point, what)` called at every point, for the rest of this process."""
    _hooks.append(hook)


def fault_point(point: Point, what: str) -> None:
    """Say that the work on `what`, a table or the registry, is at `point`."""
    for hook in _hooks:
        hook(point, what)
