"""README's Silvers that judge rows, and that of changes: each is taken, and does with a row what README says."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from kappa_assets import Silver
from kappa_assets.kinds.judging.verdicts import judged_rows
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.unique.duplicates import Once, with_duplicates
from kappa_assets_tests.readme import pipeline_of_readme

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TAPE = "_batch_id long, _row long, _arrived_at timestamp, _arrival_date date"
_NOON, _DAY = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC), dt.date(2026, 1, 5)


def _silver(folder: Path, option: str) -> Silver:
    """Return the Silver of README's example that is declared with an option."""
    (table,) = pipeline_of_readme(folder, option).derived
    assert isinstance(table, Silver)
    return table


def test_the_late_data_of_readme_is_told_by_the_row(interpreted: SparkSession, tmp_path: Path) -> None:
    table = _silver(tmp_path, "late=late(")
    times = {
        "late": "2026-01-03 11:59:59",
        "timely": "2026-01-03 12:00:00",
        "ahead": "2026-01-05 12:10:01",
        "none": "?",
    }
    rows = [(meter, at, "1.5", 0, n, _NOON, _DAY) for n, (meter, at) in enumerate(times.items())]
    tape = interpreted.createDataFrame(rows, f"meter string, measured_at string, kwh string, {_TAPE}")
    kind_of(table).check(table, tape.limit(0))
    assert [row["meter"] for row in judged_rows(table, tape).orderBy("_row").collect()] == ["timely", "none"]


def test_the_unique_rows_of_readme_are_one_by_their_id(interpreted: SparkSession, tmp_path: Path) -> None:
    table = _silver(tmp_path, "unique=[")
    lines = [
        '{"event_id": "a", "page": "/"}',
        '{"event_id": "b", "page": "/"}',
        '{"event_id": "a", "page": "/"}',
        "{}",
        "{}",
    ]
    days = [1, 1, 6, 6, 6]
    rows = [(line, 0, n, _NOON, _DAY.replace(day=day)) for n, (line, day) in enumerate(zip(lines, days, strict=True))]
    tape = interpreted.createDataFrame([*rows, (lines[0], 1, 0, _NOON, _DAY.replace(day=12))], f"value string, {_TAPE}")
    kind_of(table).check(table, tape.limit(0))
    once = Once(table.unique, table.unique_within)
    judged = with_duplicates(table(tape), once, F.lit(True), None, "again").where("again").collect()
    assert [(row["event_id"], row["_row"]) for row in judged] == [("a", 2)]


def test_the_changes_of_readme_become_versions(interpreted: SparkSession, tmp_path: Path) -> None:
    table = _silver(tmp_path, "cdc=cdc(")
    told = [
        ("c", 1, 100, 10),
        ("u", 1, 120, 30),
        ("d", 1, 120, 40),
        ("c", 2, 5, 20),
        ("t", None, None, 50),
        ("c", 1, 7, 60),
    ]
    lines = [
        json.dumps(
            {"op": op, "before" if op == "d" else "after": {"id": key, "price_cents": price}, "source": {"lsn": lsn}}
        )
        for op, key, price, lsn in reversed(told)
    ]
    rows = [(line, 0, n, _NOON, _DAY) for n, line in enumerate(lines)]
    tape = interpreted.createDataFrame(rows, f"value string, {_TAPE}")
    kind = kind_of(table)
    kind.check(table, tape.limit(0))
    assert kind.content is not None
    found = kind.content(table, tape).collect()
    assert {
        (row["id"], row["price_cents"], row["_valid_from"], row["_valid_to"], row["_is_current"]) for row in found
    } == {
        (1, 100, 10, 30, False),
        (1, 120, 30, 40, False),
        (2, 5, 20, 50, False),
        (1, 7, 60, None, True),
    }
