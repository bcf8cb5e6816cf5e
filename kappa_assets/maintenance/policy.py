"""What maintenance keeps, and what it may do."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from kappa_assets.errors import PolicyRefused

FEWEST_DAYS = 7
"""Delta keeps the files that a table no longer needs for a week (`delta.deletedFileRetentionDuration`): a reader that
opened the table before may still be at them, and so may a writer be at files that it has not committed yet."""


@dataclass(frozen=True)
class Policy:
    """How much of the past stays, and which kinds of upkeep are done. Raises PolicyRefused for less than is safe."""

    keep_releases: int = 3
    keep_days: int = FEWEST_DAYS
    optimize: bool = True
    vacuum: bool = True

    def __post_init__(self) -> None:
        if self.keep_days < FEWEST_DAYS:
            raise PolicyRefused(
                f"keep_days is {self.keep_days}; files must stay for {FEWEST_DAYS} days at least",
                hint="Readers and writers that run now may still need younger ones.",
            )
        if self.keep_releases < 1:
            raise PolicyRefused(
                f"keep_releases is {self.keep_releases}; the current release always stays",
                hint="1 keeps the current one alone; with 2 or more there is one to roll back to.",
            )

    def since(self, now: dt.datetime) -> dt.datetime:
        """Return the moment from which on everything stays."""
        return now - dt.timedelta(days=self.keep_days)
