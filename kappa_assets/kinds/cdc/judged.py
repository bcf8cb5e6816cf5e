"""The changes of a batch, judged: those that are merged, and those that are set aside, each counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Silver
from kappa_assets.kinds.judging.verdicts import any_of, apart, noted, refuse_failed, set_aside, with_verdicts
from kappa_assets.log.note import GIVEN, SET_ASIDE, TAKEN
from kappa_assets.logic.logic_check import text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets.names import TableName
from kappa_assets.place.change import Change, Counts, Fence, Write
from kappa_assets.place.port import OpenTable


@dataclass(frozen=True)
class Judged:
    """What the function gave of a batch, kept at hand while the batch is applied.

    `changes` are those that are merged. `rows` are all, with columns that tell what became of each.
    """

    silver: Silver
    changes: DataFrame
    rows: DataFrame
    counted: tuple[str, ...]
    counts: Counts

    def facts(self) -> dict[str, Any]:
        """Return what the note of the commit says of them."""
        told = noted(self.silver, self.counts)
        given = {GIVEN: 0} | told["judged"]
        aside = sum(given.get(fate, 0) for fate in SET_ASIDE)
        return told | {"judged": given | {TAKEN: given[GIVEN] - aside}}

    def refuse(self, tape: TableName) -> None:
        """Raise ExpectationFailed when a row fails what no row may."""
        refuse_failed(self.silver, tape, self.rows, self.counts)

    def set_aside(self, side: OpenTable, generation: int, batch: int, fence: Fence, *, small: bool) -> None:
        """Commit what is not merged beside the table, once."""
        if not any(self.counts.rejected.values()):
            return
        name = str(self.silver.name)
        told = json.dumps({"table": name, "generation": generation, "batch": batch})
        aside = set_aside(self.silver, generation, batch, told)
        assert aside is not None  # noqa: S101 -- for mypy; without keys and a sequence nothing is merged
        kept = aside.kept(self.rows.where(any_of(aside.failed)).drop(*self.counted))
        side.prepare(kept.schema)
        write = Write(name, generation, "rejects", batch)
        side.apply(Change(write, kept, lambda _: told, small=small, point=None), fence)


@contextmanager
def judged(silver: Silver, rows: DataFrame) -> Iterator[Judged]:
    """Give what a batch's function gave, judged in one pass; it is computed once, and let go of at the end."""
    every = replace(silver, expectations=silver.judged_by)
    with_columns, counted = with_verdicts(every, rows)
    kept = with_columns.persist()
    try:
        aside = apart(every)
        metrics = {**{name: F.col(quoted(name)) for name in counted}, **{f"aside {n}": c for n, c in aside.items()}}
        found = kept.agg(*[F.count_if(column).alias(name) for name, column in metrics.items()]).collect()[0]
        counts = Counts(
            rows=found[counted[0]],
            rejected={name: found[f"aside {name}"] for name in aside if found[f"aside {name}"]},
            counted={name: found[name] for name in counted},
        )
        yield Judged(every, kept.where(~any_of(aside)).drop(*counted), kept, counted, counts)
    finally:
        kept.unpersist()


def taken_of(silver: Silver, upstream: DataFrame) -> DataFrame:
    """Return the changes that are merged of any rows of the tape."""
    every = replace(silver, expectations=silver.judged_by)
    rows = silver(with_days(upstream, text_casts(silver, upstream)))
    return rows.where(~any_of(apart(every)))
