"""What there is for a query to read: looked for where Spark does not by itself, and what of it is left, told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pyspark.sql.streaming import StreamingQuery

from kappa_assets.kinds.query import KnowsWhatIsLeft, LooksForItself, TableQuery

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


class LeftToRead:
    """Asks a query that knows, each time the host looks at it; others have nothing to tell."""

    def __init__(self, query: TableQuery, clock: Callable[[], float]) -> None:
        self._query, self._clock = query, clock
        self._since: float | None = None
        self.records: Mapping[str, int] | None = None
        """By part of what is read, how many records there were when Spark last looked that no batch has taken."""

    @property
    def seconds(self) -> float | None:
        """How long there have been such records without a break; None where nobody tells how many there are."""
        if self.records is None:
            return None
        return 0.0 if self._since is None else round(self._clock() - self._since, 1)

    def look(self, streaming: StreamingQuery) -> None:
        """Take in what Spark last told of the query."""
        if not isinstance(self._query, KnowsWhatIsLeft):
            return

        def progress() -> Mapping[str, Any]:
            told = streaming.lastProgress
            return json.loads(told.json) if told else {}

        self.records = self._query.unread(progress)
        if not self.records or not any(self.records.values()):
            self._since = None
        elif self._since is None:
            self._since = self._clock()
