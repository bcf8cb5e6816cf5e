"""What becomes of each row that a row-by-row Silver's function gives: kept, set aside, or refused with its batch.

Every condition is a column beside the row, judged in the pass that writes it: none raises inside the plan, where Spark
would try the task again, and its message would hold the row. A condition that gives null has failed. A row that fails
several is counted under each; of what then happens to it, `fail` goes before `drop`, that before `quarantine`, and that
before `warn`. Whether it is late is judged first: what is set aside for its time is judged by no expectation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import ADDRESS, BATCH_ID, LINEAGE, quoted
from kappa_assets.declare.tables import AHEAD, DUPLICATE, LATE, Derived, Expectation, OnFail, Silver
from kappa_assets.errors import ExpectationFailed
from kappa_assets.kinds.judging.lateness import by_delay, reached, set_aside_for_time, untimely
from kappa_assets.log.note import DROPPED, GIVEN, OUT_OF_TIME, QUARANTINED
from kappa_assets.logic.column_rules import FAILS, JUDGED
from kappa_assets.logic.logic_check import text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets.names import TableName
from kappa_assets.place.change import Aside, Counts

IS_DUPLICATE = f"{JUDGED}{DUPLICATE}"
"""The column by which a table whose rows are unique is told which of them are there already."""
_COUNTED = {name: f"{JUDGED}{name}" for name in (GIVEN, LATE, AHEAD, DROPPED, QUARANTINED)}
SET_ASIDE: tuple[OnFail, ...] = ("drop", "quarantine")
"""What is said of rows that are kept beside the table."""
_DELAY = f"{JUDGED}delay_"
_SHOWN = 5
"""Rows that an error names, by their addresses."""


def with_verdicts(silver: Silver, output: DataFrame) -> tuple[DataFrame, tuple[str, ...]]:
    """Return what the function gave, with columns of booleans that are to be counted, and the names of these.

    Of a table whose rows are unique, `output` has the column IS_DUPLICATE already.
    """
    if not silver.judges:
        return output, ()
    dropped, quarantined = any_of(failing(silver, "drop")), any_of(failing(silver, "quarantine"))
    verdicts = {
        _COUNTED[GIVEN]: F.lit(True),
        _COUNTED[DROPPED]: dropped,
        _COUNTED[QUARANTINED]: ~dropped & quarantined,
        **{fails_column(name): fails for name, fails in failing(silver, "warn", "fail").items()},
    }
    if silver.late is not None:
        verdicts |= {_COUNTED[name]: is_so for name, is_so in untimely(silver.late).items()}
        verdicts |= {f"{_DELAY}{days}": is_so for days, is_so in reached(silver.late).items()}
    return output.withColumns(verdicts), (*verdicts, *([IS_DUPLICATE] if silver.unique else []))


def stays(silver: Silver) -> Column:
    """Return whether a row that the function gave is set aside for nothing but being there already."""
    return ~any_of(apart(silver))


def passing(silver: Silver) -> Column:
    """Return whether nothing sets a row aside, and no expectation refuses the batch for it."""
    return stays(silver) & ~any_of(failing(silver, "fail"))


def noted(silver: Silver, counts: Counts) -> dict[str, Any]:
    """Return what the note of a commit says about the rows that were judged, by the names of its fields."""
    if not silver.judges:
        return {}
    judged = {name: counts.counted.get(column, 0) for name, column in _COUNTED.items()}
    judged[DUPLICATE] = counts.rejected.get(DUPLICATE, 0) if silver.unique else 0
    delays: dict[str, int] = {}
    if silver.late is not None:
        judged[OUT_OF_TIME] = sum(counts.rejected.get(reason, 0) for reason in (LATE, AHEAD))
        told = {name.removeprefix(_DELAY): rows for name, rows in counts.counted.items() if name.startswith(_DELAY)}
        delays = by_delay(judged[GIVEN], {int(days): rows for days, rows in told.items()})
    return {
        "rejected": counts.rejected,
        "delays": delays,
        "warned": {e.name: rows for e, rows in failures(silver, "warn", counts).items()},
        "judged": {name: rows for name, rows in judged.items() if rows or name == GIVEN},
    }


def set_aside(silver: Silver, generation: int, batch: int, note: str) -> Aside | None:
    """Return which rows are set aside: kept as JSON, with their reasons and their address on the tape."""
    dropped, waiting = _apart(silver, "drop"), _apart(silver, "quarantine")
    aside = {**dropped, **waiting}
    once: dict[str, Column] = {DUPLICATE: F.col(IS_DUPLICATE)} if silver.unique else {}
    if not (aside or once):
        return None

    def kept(failed: DataFrame) -> DataFrame:
        # What nothing else sets aside is a duplicate: such rows alone are asked whether they are there already.
        told = {**aside, **dict.fromkeys(once, ~any_of(aside))}
        reasons = F.array_compact(F.array(*[F.when(fails, F.lit(name)) for name, fails in told.items()]))
        waits = ~any_of(dropped) & any_of(waiting)
        fate = F.when(waits, F.lit("quarantine")).otherwise(F.lit("drop"))
        return failed.select(
            *LINEAGE,
            reasons.alias("reasons"),
            F.to_json(F.struct(*map(quoted, failed.columns))).alias("row"),
            F.lit(generation).cast("long").alias("generation"),
            F.lit(batch).cast("long").alias("batch"),
            fate.alias("on_fail"),
        )

    return Aside({**aside, **once}, kept, note)


def judged_rows(silver: Silver, upstream: DataFrame) -> DataFrame:
    """Return the rows that the table keeps of `upstream`: those of its function's output that nothing sets aside.

    Those that fail one with on_fail="fail" are among them, whatever else they fail, and columns named `refusing` tell
    which they are: these are to be counted, and the rows not to be written when there is one.
    """
    output = silver(with_days(upstream, text_casts(silver, upstream)))
    refused, aside = failing(silver, "fail"), apart(silver)
    stays = any_of(refused) | ~any_of(aside)
    rows = output.where(stays) if aside else output
    return rows.withColumns({fails_column(name): fails for name, fails in refused.items()}) if refused else rows


def refusing(silver: Silver) -> tuple[str, ...]:
    """Return the columns that `judged_rows` has beside those of the table."""
    return tuple(fails_column(e.name) for e in _declared(silver, "fail"))


def refuse_failed(silver: Silver, tape: TableName, judged: DataFrame, counts: Counts) -> None:
    """Raise ExpectationFailed when a row fails what no row may: it tells of the rows by their addresses alone."""
    failed = failures(silver, "fail", counts)
    if not failed:
        return
    fails = reduce(Column.__or__, [F.col(fails_column(e.name)) for e in failed])
    first, last = judged.agg(F.min(BATCH_ID), F.max(BATCH_ID)).collect()[0]
    found = judged.where(fails).select(*ADDRESS).distinct().orderBy(*ADDRESS).limit(_SHOWN).collect()
    told = failures_in_words(failed, counts.counted.get(_COUNTED[GIVEN]))
    addresses = ", ".join(f"({batch}, {row})" for batch, row in found)
    where = f"(_batch_id, _row) IN ({addresses})"
    look = f"SELECT * FROM delta_scan('$(kappa path {tape})') WHERE {where}"  # noqa: S608 -- is shown, and never run
    raise ExpectationFailed(
        f"{silver.name} {ExpectationFailed.SAYS} {tape} batches {first} to {last}: {told}",
        hint=f"The first of them, by their addresses: {look}. "
        f"Mend the function, or the expectation at {silver.origin}, and start the stream again: it goes on there.",
    )


def failures(table: Derived, fate: OnFail, counts: Counts) -> dict[Expectation, int]:
    """Return how many rows fail each expectation that says so of them; those that none fails are left out."""
    return {e: rows for e in _declared(table, fate) if (rows := counts.counted.get(fails_column(e.name), 0))}


def failures_in_words(failed: Mapping[Expectation, int], total: int | None) -> str:
    """Return what `failures` gave as a text, with of how many rows that is, where it is known."""
    of = "rows" if total is None else f"of {total:,} rows"
    return "; ".join(f"{rows:,} {of} fail {e.name!r} ({e.condition})" for e, rows in failed.items())


def failing(table: Derived, *fates: OnFail) -> Mapping[str, Column]:
    """Return, by those expectations that say so of rows that fail, whether a row does; null is failed.

    A row that is set aside for its time fails none.
    """
    fails = {e.name: ~F.coalesce(F.expr(e.condition), F.lit(False)) for e in _declared(table, *fates)}
    gone = set_aside_for_time(table.late, *SET_ASIDE)
    return {name: ~any_of(gone) & failed for name, failed in fails.items()} if gone else fails


def apart(silver: Silver) -> Mapping[str, Column]:
    """Return, by the reason, whether a row is set aside: for its time, or by an expectation."""
    return {**_apart(silver, "drop"), **_apart(silver, "quarantine")}


def _apart(silver: Silver, fate: OnFail) -> Mapping[str, Column]:
    """Return, by the reason, whether a row meets this fate."""
    return {**set_aside_for_time(silver.late, fate), **failing(silver, fate)}


def _declared(table: Derived, *fates: OnFail) -> list[Expectation]:
    return [e for e in table.expectations if e.on_fail in fates]


def any_of(conditions: Mapping[str, Column]) -> Column:
    """Return whether any of some conditions holds; of none, false."""
    return reduce(Column.__or__, conditions.values(), F.lit(False))


def fails_column(expectation: str) -> str:
    """Return the column that tells which rows fail an expectation."""
    return f"{FAILS}{expectation}"
