"""The plan of each batch of a joined table: a vector, written down in a numbered file before Spark logs an offset."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from kappa_assets.kinds.joined.vector import Upstreams, Vector
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.note import InputRange
from kappa_assets.sources.files.file_batch import local_paths, stream_of_plans
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans

_SOON = 0.1
"""Seconds between two looks: a look at nothing new is a probe of each upstream's log."""
_LATER = 2.0
"""Seconds between two looks at upstreams that have moved apart: each reads the newest entries of their logs."""


class VectorPlans:
    """Looks at the upstreams of one table and plans its batches. Its methods may be called from several threads."""

    def __init__(
        self,
        upstreams: Upstreams,
        checkpoint: Checkpoint,
        taken: Callable[[], Mapping[str, InputRange]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`taken`: what the table's newest commit has taken in, by upstream."""
        self._upstreams, self._taken, self._clock = upstreams, taken, clock
        self._plans = DeliveryPlans(checkpoint)
        self._turn = threading.Lock()
        self._waiting: set[int] = set()
        self._versions: list[int | None] = []
        self._next_look = self._next_search = clock()
        self.leaves_something = False
        """Whether the last look has found changes that no vector takes in yet."""

    def begin(self) -> None:
        """Plan what there is, behind what Spark has still to do. Only while no query runs.

        A drain takes no plan that is written later.
        """
        with self._turn:
            waiting = self._plans.begin()
            self._waiting, self._versions = set(), []
            self._plan(self._taken_after(waiting))
            self._waiting.update(waiting)

    def stream(self, spark: SparkSession) -> DataFrame:
        """Return the stream of the plans: their paths, and nothing else."""
        return stream_of_plans(spark, self._plans.folder)

    def look(self) -> None:
        """Plan what has come, unless a batch is being waited for."""
        if self._waiting or self._clock() < self._next_look:
            return
        self._next_look = self._clock() + _SOON
        with self._turn:
            self._plan(self._taken())

    def of(self, batch: DataFrame) -> tuple[list[int], Vector]:
        """Return the numbers of a batch's plans, and the vector that the newest of them has."""
        numbers, vectors = self._plans.read(local_paths(row.path for row in batch.collect()))
        return numbers, Vector.from_json(vectors[-1])

    def were_moved(self) -> bool:
        """Return whether Spark knows the plans under another path than they have now."""
        return self._plans.was_moved()

    def done(self, numbers: Sequence[int]) -> None:
        """Note that the plans up to the last of these are done."""
        with self._turn:
            self._waiting = {number for number in self._waiting if number > max(numbers)}
            self._plans.remove_before(min(numbers))
            self._versions = []
        self._next_look = self._clock()

    def _taken_after(self, waiting: Sequence[int]) -> Mapping[str, InputRange]:
        """Return what the table will have taken in once plans are done."""
        if not waiting:
            return self._taken()
        vector = Vector.from_json(self._plans.files_of(waiting)[-1])
        return {name: part.range(None) for name, part in vector.parts.items()}

    def _plan(self, taken: Mapping[str, InputRange]) -> None:
        versions = [one.table.newest() for one in self._upstreams.upstreams]
        moved = versions != self._versions
        if self._waiting or not (moved or (self.leaves_something and self._clock() >= self._next_search)):
            return
        self._versions, self._next_search = versions, self._clock() + _LATER
        vector = self._upstreams.newest()
        self.leaves_something = self._upstreams.leaves_something(vector)
        if vector is not None and self._upstreams.brings_more(vector, taken):
            self._waiting.add(self._plans.write([vector.to_json()]))
