"""What positions, tapes and checks are computed from: the logs of a lake, read from disk each time they are asked."""

from __future__ import annotations

from collections.abc import Iterator

from kappa_assets.errors import TapeGap
from kappa_assets.log import delta_log
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.stored_table import Where


class Logs:
    """The logs as they are now. `FollowedLogs` gives the same answers, and reads no commit a second time."""

    def life(self, table: Where) -> int:  # noqa: ARG002 -- an answer of those who remember
        """Return how often the table was seen to be made anew. What is remembered of another life is void."""
        return 0

    def commits(self, table: Where, *, after: int = -1, upto: int | None = None) -> Iterator[Commit]:
        """Yield the commits with `after` < version <= `upto`, oldest first; none of a table that does not exist.

        Raises TapeGap when one has been cleaned from the log, unless `after` is -1: then those still there are given.
        """
        yield from delta_log.commits(table, after=after, upto=upto)

    def last_note(self, table: Where, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
        """Return the newest (version, note) of ours, at or before version `at_most`; None before the first."""
        return delta_log.last_note(table, at_most=at_most)

    def first_data_after(self, table: Where, version: int) -> int | None:
        """Return the first version after `version` that changed rows; one cleaned from the log counts as such."""
        try:
            return next((c.version for c in self.commits(table, after=version) if c.adds_data or c.removes_data), None)
        except TapeGap:
            return version + 1


ON_DISK = Logs()
