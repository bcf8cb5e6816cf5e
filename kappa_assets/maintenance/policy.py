"""What maintenance keeps, and what it may do."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from kappa_assets.errors import PolicyRefused

FEWEST_DAYS = 7
"""Delta keeps the files that a table no longer needs for a week (`delta.deletedFileRetentionDuration`): a reader that
opened the table before may still be at them, and so may a writer be at files that it has not committed yet."""
FEWEST_COMMITS = 100
"""Entries of a log that stay whatever is asked: the lineage sensor reads them, and readers that opened the table."""

_SHORTEST = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Policy:
    """How much of the past stays, and which kinds of upkeep are done. Raises PolicyRefused for less than is safe."""

    keep_releases: int = 3
    keep_days: int = FEWEST_DAYS
    keep_commits: int = 1_000
    """So many of the newest entries stay in a table's log at most, unless a reader of ours still needs more.

    Each look for new data lists them all, in every reader: 10 us and more for each, several times a batch. At a commit
    every few seconds a week of them would be what the streams spend their time on.
    """
    optimize: bool = True
    vacuum: bool = True
    keep_gold: dt.timedelta = dt.timedelta(hours=6)
    """So long a Gold that no table reads keeps a file that it has replaced, unless it is declared with `keep`; and so
    long the state of a table of changes does.

    A small one is written anew with each batch: 33 KB for 1,200 customers, which is 4 GB a week at a batch every 5
    seconds.
    """

    def __post_init__(self) -> None:
        if self.keep_days < FEWEST_DAYS:
            raise PolicyRefused(
                f"keep_days is {self.keep_days}; files must stay for {FEWEST_DAYS} days at least",
                hint="Readers and writers that run now may still need younger ones.",
            )
        if self.keep_commits < FEWEST_COMMITS:
            raise PolicyRefused(
                f"keep_commits is {self.keep_commits}; {FEWEST_COMMITS} commits of each log must stay at least",
                hint="Whoever opened a table just now may still need them.",
            )
        if self.keep_releases < 1:
            raise PolicyRefused(
                f"keep_releases is {self.keep_releases}; the current release always stays",
                hint="1 keeps the current one alone; with 2 or more there is one to roll back to.",
            )

        if self.keep_gold < _SHORTEST:
            raise PolicyRefused(
                f"keep_gold is {self.keep_gold}; files that a Gold has replaced must stay for an hour at least",
                hint="Whoever opened the table just now is still reading them.",
            )

    def since(self, now: dt.datetime) -> dt.datetime:
        """Return the moment from which on everything stays."""
        return now - dt.timedelta(days=self.keep_days)
