"""Whether a query is needed just now: a look at its upstreams' logs that costs one `stat` each, not a list.

Spark looks for new data by listing the log, several times a second and query: four of five tables of an idle host did
so for nothing. A query whose upstreams have been still for a while is therefore stopped, and started again when one
of them gets a commit, or is about to.
"""

from __future__ import annotations

from collections.abc import Callable

from kappa_assets.place.port import StoredTable

QUIET_AFTER = 30.0
"""Seconds without anything new after which a query sleeps: longer than the pauses between files of a busy shop."""


class Attention:
    """What one query knows of its upstreams. Without one (a tape reads a landing folder) it is always needed.

    Every method is for the host's one thread, but `worked` and `interrupted`, which only set what that thread reads.
    """

    def __init__(
        self, upstreams: tuple[StoredTable, ...], clock: Callable[[], float], waits: Callable[[], bool] = lambda: False
    ) -> None:
        """`waits`: whether there is something that it could not take when it last looked."""
        self._upstreams = upstreams
        self._clock = clock
        self._waits = waits
        self._versions: list[int | None] = [None for _ in upstreams]
        self._stirred_at = clock()
        self.news = True
        """Whether its next start may find something to read."""

    def look(self, *, coming: bool) -> None:
        """Take in what happened since the last look. `coming`: a table above is at a batch just now."""
        if not self._upstreams:
            return
        newest = [table.newest(known) for table, known in zip(self._upstreams, self._versions, strict=True)]
        if newest != self._versions or self._waits():
            self._versions, self.news = newest, True
        elif not coming:
            return
        self._stirred_at = self._clock()

    def started(self) -> None:
        """Note that the query starts: what is there by now, it reads."""
        self.news = not self._upstreams
        self._stirred_at = self._clock()

    def worked(self) -> None:
        """Note that the query has done a batch."""
        self._stirred_at = self._clock()

    def interrupted(self) -> None:
        """Note that a batch was refused because the query was being stopped: its next start has it to do."""
        self.news = True

    @property
    def long_quiet(self) -> bool:
        """Whether nothing has come for so long that the query may sleep."""
        return bool(self._upstreams) and self._clock() - self._stirred_at > QUIET_AFTER
