"""A table of the lake compared with a Delta table that is none of it, such as what a batch job wrote until now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappa_assets.columns import LINEAGE, OF_THE_TAPE, quoted
from kappa_assets.compare.aggregates import aggregates
from kappa_assets.compare.comparison import Comparison, TableComparison
from kappa_assets.compare.differences import Differences, differences
from kappa_assets.errors import NotComparable
from kappa_assets.names import TableName
from kappa_assets.place.local.stored_table import stored
from kappa_assets.sources.source import READ_FAILED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.place.port import StoredTable

_ADDED = {*OF_THE_TAPE, *LINEAGE}
_IN_WORDS = {
    "live": "there",
    "candidate": "here",
    "live_rows": "rows_there",
    "candidate_rows": "rows_here",
    "only_live": "only_there",
    "only_candidate": "only_here",
    "new_columns": "columns_only_here",
    "lost_columns": "columns_only_there",
}
"""Of a comparison with the live table, what its words are called here."""
_TOLD = ("table", "rows_there", "rows_here", "only_there", "only_here", "changed", "matched_by", "retyped_columns")


def compare_with(
    spark: SparkSession, table: TableName, mine: StoredTable, outside: Path, keys: Sequence[str]
) -> TableComparison:
    """Return how a table of the lake differs from a Delta table in a folder, both at their newest version.

    The other one takes the place of the live table, and that of the lake the candidate's. Compared are the columns that
    both have, but for those that kappa_assets adds, in the way in which a replay is; rows are matched by `keys`, or
    counted whole without. Raises NotComparable.
    """
    there, here = _read_outside(spark, outside), mine.read(spark, mine.newest() or 0, pruned=True)
    if missing := [f"{name!r} ({where})" for where, rows in _sides(here, there) for name in keys if name not in rows]:
        raise NotComparable(
            f"rows cannot be matched by {', '.join(keys)}: there is no column {', '.join(missing)}",
            hint="Name columns that both tables have with --keys, the keys of one row: --keys day,country.",
        )
    here, there = (rows.select(*map(quoted, _compared_columns(rows, keys))) for rows in (here, there))
    if not set(here.columns) & set(there.columns):
        raise NotComparable(
            f"{table} and {str(outside)!r} have no column in common: {', '.join(here.columns)}; "
            f"{', '.join(there.columns)}",
            hint="Columns are matched by name: have the other table's renamed, in a copy of it.",
        )
    sums = aggregates(there, here, keys, None)
    found = differences(there, here, keys) if sums.differing else Differences()
    before, after = dict(there.dtypes), dict(here.dtypes)
    return TableComparison(
        table,
        -1,
        sums.live_rows,
        sums.candidate_rows,
        **vars(found),
        keys=tuple(keys),
        new_columns=tuple(name for name in after if name not in before),
        lost_columns=tuple(name for name in before if name not in after),
        retyped_columns=tuple(
            f"{name}: {kind} -> {after[name]}" for name, kind in before.items() if after.get(name, kind) != kind
        ),
        aggregates=sums.measures,
    )


def how_it_differs(found: TableComparison) -> str | None:
    """Return in words what differs in the columns that both have; None where nothing does."""
    what = "keys" if found.keys else "rows"
    told = {
        f"{found.changed:,} keys have other values": found.changed,
        f"{found.only_live:,} {what} are only in the other table": found.only_live,
        f"{found.only_candidate:,} {what} are only in {found.table}": found.only_candidate,
    }
    return "; ".join(sentence for sentence, count in told.items() if count) or None


def told_apart(found: TableComparison) -> dict[str, list[dict[str, Any]]]:
    """Return what was found as tables, `here` being the lake: `tables`, `columns`, `totals` and a `sample`."""
    facts = Comparison((found,)).facts()
    tables = [{name: one[name] for name in (*_TOLD, *_only_somewhere(one))} for one in _renamed(facts["tables"])]
    totals = [{name: value for name, value in one.items() if name != "slice"} for one in _renamed(facts["slices"])]
    return {
        "tables": tables,
        "columns": list(facts["columns"]),
        "totals": totals,
        "sample": list(_renamed(facts["sample"])),
    }


def _only_somewhere(row: Mapping[str, Any]) -> list[str]:
    return [name for name in ("columns_only_here", "columns_only_there") if name in row]


def _renamed(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{_IN_WORDS.get(name, name): value for name, value in row.items()} for row in rows]


def _sides(here: DataFrame, there: DataFrame) -> tuple[tuple[str, list[str]], ...]:
    return ("in the lake", here.columns), ("in the other table", there.columns)


def _compared_columns(rows: DataFrame, keys: Sequence[str]) -> list[str]:
    return [name for name in rows.columns if name not in _ADDED or name in keys]


def _read_outside(spark: SparkSession, outside: Path) -> DataFrame:
    table = stored(outside)
    newest = table.newest() if outside.is_dir() else None
    if newest is None:
        raise NotComparable(
            f"there is no Delta table in {str(outside)!r}",
            hint="Name the folder of one. Parquet files become one by CONVERT TO DELTA, or by a copy.",
        )
    try:
        rows = table.read(spark, newest, pruned=True)
        rows.schema  # noqa: B018 -- asked now: Spark looks a table up when it is asked of it
    except READ_FAILED as error:
        why = str(error).partition("\n")[0]
        raise NotComparable(
            f"the Delta table in {str(outside)!r} cannot be read: {why}", hint="Look whether Spark reads it by itself."
        ) from error
    return rows
