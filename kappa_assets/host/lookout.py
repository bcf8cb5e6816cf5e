"""Lets a query that tells Spark itself what there is to read look for it, as long as it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from kappa_assets.kinds.query import LooksForItself, TableQuery

_EVERY = 0.05
"""Seconds between two times that a query is asked to look; it knows itself how often it does."""


class Lookout:
    """The looks of one query. A thread makes them, for a folder may hang; other queries need none."""

    def __init__(self, query: TableQuery) -> None:
        self._query = query if isinstance(query, LooksForItself) else None
        self._on = False
        self.failure: Exception | None = None
        """Why no thread looks any more; whoever starts the query again takes it away."""

    def start(self, runs: Callable[[], bool]) -> None:
        """Look until `runs` says that the query does not."""
        self._on = self._query is not None
        if self._on:
            threading.Thread(target=self._watch, args=(runs,), daemon=True).start()

    def stop(self) -> None:
        """Look no more between batches: a drain takes what was there when it began."""
        self._on = False

    def between_batches(self) -> None:
        """Look for what landed during a batch, so that the next can follow at once."""
        if self._on and self._query is not None:
            with suppress(OSError):  # the batch is in; the thread finds the same, and tells
                self._query.look()

    def _watch(self, runs: Callable[[], bool]) -> None:
        while runs() and self._query is not None:
            try:
                self._query.look()
            except Exception as error:  # noqa: BLE001 -- told by the host's thread, which starts the query again
                self.failure = error
                return
            time.sleep(_EVERY)
