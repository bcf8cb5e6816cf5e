"""Rows in quarantine, judged again: what today's function gives of their addresses, and which of it the table gets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import ADDRESS, ARRIVAL_DATE, BATCH_ID, quoted
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import ReleaseRefused
from kappa_assets.kinds.append import open_silver
from kappa_assets.kinds.judging.verdicts import IS_DUPLICATE, passing
from kappa_assets.kinds.query import Setting
from kappa_assets.kinds.unique.duplicates import Once, with_duplicates
from kappa_assets.kinds.unique.unique_query import keys_there
from kappa_assets.log.note import Position
from kappa_assets.logic.column_rules import JUDGED
from kappa_assets.logic.logic_check import text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets.names import TableName
from kappa_assets.place.held import held
from kappa_assets.place.sliced_rows import rows_in_files
from kappa_assets.repair.releasable import (
    ADDED,
    CHOSEN,
    PASSES,
    QUARANTINE,
    TAKEN,
    TEXT,
    added,
    decided,
    text_of,
    with_repeated,
)
from kappa_assets.repair.rows_aside import RowsAside

_CHOSEN = f"{JUDGED}is_chosen"


@dataclass(frozen=True)
class Judged:
    """What becomes of chosen rows. `decision` says which leave the quarantine, and `rows` are what the table gets.

    Kept at hand while it is acted upon. `version`: of the table, as it was looked at. All counts are of rows.
    """

    decision: DataFrame
    rows: DataFrame
    version: int
    chosen: int
    taken: int
    added: int
    duplicates: int


class _Where(NamedTuple):
    """Where on the tape the chosen rows are from."""

    addresses: DataFrame
    days: list[dt.date]
    first: int
    last: int


@contextmanager
def judged_again(
    setting: Setting, silver: Silver, tape: TableName, aside: RowsAside, where: str, reached: Position
) -> Iterator[Judged | None]:
    """Give what becomes of those rows in quarantine for which `where` holds; None where there are none.

    `reached`: how far on the tape the generation reflects. What was set aside of a batch that is not in yet is left
    alone: the batch says itself what of its rows the table gets. Raises ReleaseRefused where the condition fails.
    """
    generation = aside.generation
    with ExitStack() as kept:

        def keep(rows: DataFrame) -> DataFrame:
            persisted = rows.persist()
            kept.callback(persisted.unpersist)
            return persisted

        waits = F.col("on_fail").eqNullSafe(QUARANTINE) & (F.col(BATCH_ID) <= reached.batch)
        is_chosen = waits & F.coalesce(F.expr(where), F.lit(False))
        told = keep(aside.rows().select(*ADDRESS, ARRIVAL_DATE, F.col("row").alias(TEXT), is_chosen.alias(_CHOSEN)))
        found = _found(told, where)
        if found is None:
            yield None
            return
        written = setting.lake.table(silver.name, generation)
        version = written.newest()
        assert version is not None  # noqa: S101 -- for mypy; it has read some of the tape
        given = keep(_given(setting, silver, generation, tape, found))
        schema = StructType([field for field in given.schema if field.name not in (TEXT, PASSES)])
        files = [f["path"] for f in held(written.files(version)) if f[f"partition.{ARRIVAL_DATE}"] in found.days]
        there = (
            rows_in_files(setting.spark, written, files, schema).withColumn(TEXT, text_of(schema)) if files else None
        )
        of_them = found.addresses
        decision = decided(
            told.where(_CHOSEN),
            told.where(~F.col(_CHOSEN)).join(of_them, [*ADDRESS], "left_semi"),
            given,
            None if there is None else there.join(of_them, [*ADDRESS], "left_semi"),
        )
        decision = keep(decision)
        gets, again = added(given, decision), None
        if silver.unique:
            once = Once(silver.unique, silver.unique_within)
            known = keys_there(setting.spark, written, version, silver, schema, set(found.days))
            gets = keep(with_duplicates(gets, once, F.lit(True), known, IS_DUPLICATE))
            again = gets.where(IS_DUPLICATE)
            gets = gets.where(~F.col(IS_DUPLICATE))
        names = (CHOSEN, TAKEN, ADDED)
        sums = decision.agg(*[F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in names]).collect()[0]
        yield Judged(
            keep(with_repeated(decision, again)),
            gets.select(*map(quoted, schema.names)),
            version,
            chosen=sums[CHOSEN],
            taken=sums[TAKEN],
            added=sums[ADDED],
            duplicates=0 if again is None else again.count(),
        )


def _found(told: DataFrame, where: str) -> _Where | None:
    """Return where the chosen rows are from; None: there are none. Raises ReleaseRefused."""
    addresses = told.where(_CHOSEN).select(*ADDRESS, ARRIVAL_DATE).distinct()
    sums = addresses.agg(F.collect_set(ARRIVAL_DATE), F.min(BATCH_ID), F.max(BATCH_ID))
    try:
        days, first, last = sums.collect()[0]
    except PySparkException as error:  # its message may hold the row
        raise ReleaseRefused(
            f"the condition {where!r} fails on some row",
            hint="Take values out by try_cast, get_json_object and the like.",
        ) from error
    return None if first is None else _Where(addresses.select(*ADDRESS), days, first, last)


def _given(setting: Setting, silver: Silver, generation: int, tape: TableName, found: _Where) -> DataFrame:
    """Return what today's function gives of some addresses, in the columns of the table, with TEXT and PASSES."""
    bronze = setting.lake.table(tape)
    rows = bronze.read(setting.spark, bronze.newest() or 0, pruned=True)
    near = rows.where(F.col(ARRIVAL_DATE).isin(found.days) & F.col(BATCH_ID).between(found.first, found.last))
    upstream = near.join(found.addresses, [*ADDRESS], "left_semi").select(*map(quoted, rows.columns))
    output = silver(with_days(upstream, text_casts(silver, upstream)))
    target = open_silver(setting, silver.name, generation)
    target.prepare(output.schema)
    schema = target.schema()
    assert schema is not None  # noqa: S101 -- for mypy; it was prepared
    given = output.select(*map(quoted, schema.names))
    return given.withColumns({TEXT: text_of(schema), PASSES: passing(silver)})
