"""The check of fields that came to be in what lands, and that nothing reads."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kappa_assets import Files, Pipeline, bronze, silver
from kappa_assets.health import run_checks
from kappa_assets.health.health_checks import HealthChecks
from kappa_assets.health.payload_check import CHECK, sample_of
from kappa_assets_tests.written_logs import WrittenLake

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame

    from kappa_assets.health.outcome import CheckOutcome

clicks = bronze("clicks", source=Files("clicks", format="json"), columns={"trace": "of the sender: not used"})
SCHEMA = "page string, lines array<struct<sku: string>>"


@silver
def visits(clicks: DataFrame) -> DataFrame:
    """Not a word of a docstring counts: coupon."""
    return clicks.selectExpr(f"from_json(value, '{SCHEMA}') AS found", "get_json_object(value, '$.at') AS at")


PIPELINE = Pipeline.from_tables("web", [clicks, visits], start=dt.date(2026, 2, 1))
FIRST = {"page": "a", "at": "2026-03-01", "unused": 1, "lines": [{"sku": "x"}]}


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    made = WrittenLake(lake_path, pipeline=PIPELINE)
    first = made.lake.folder(visits.name) / "_delta_log" / f"{0:020d}.json"
    first.write_text(first.read_text().replace("value", "found"))  # its one column, beside that of the slice
    land(made, FIRST, FIRST)
    return made


def land(web: WrittenLake, *rows: Any, **columns: pa.Array) -> Path:
    """Put a batch with these payloads on the tape, its file too."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    version = web.land(len(rows))
    path = web.lake.folder(clicks.name) / f"{version}-2026-03-01.parquet"
    pq.write_table(pa.table({"value": lines, "_batch_id": [version - 1] * len(lines), **columns}), path)
    return path


def found(web: WrittenLake) -> CheckOutcome:
    return next(outcome for outcome in run_checks(web.lake, PIPELINE) if outcome.check == CHECK)


def test_what_was_always_there_and_what_is_read_is_no_news(web: WrittenLake) -> None:
    land(web, FIRST, {"page": None, "lines": []}, "no JSON", "[1, 2]", '"text"')
    outcome = found(web)
    assert (outcome.passed, outcome.facts["new_fields"], outcome.facts["unread_fields"]) == (True, 0, 1)
    assert outcome.facts["rows_looked_at"] == 7


def test_a_field_that_came_to_be_is_told_with_its_rows(web: WrittenLake) -> None:
    new = FIRST | {"coupon": "SAVE", "lines": [{"sku": "x", "gift": True}], "trace": {"id": 1}}
    land(web, new, new | {"coupon": None}, FIRST)
    outcome = found(web)
    assert not outcome.passed
    assert outcome.severity == "warn"
    assert outcome.rows == ({"field": "coupon", "rows": 1}, {"field": "lines[].gift", "rows": 2})
    assert "coupon, lines[].gift" in outcome.summary


def test_a_column_of_the_payload_that_came_to_be_is_told(web: WrittenLake) -> None:
    land(web, FIRST, discount=pa.array([0.5]))
    land(web, FIRST, discount=pa.array([None], pa.float64()))
    assert found(web).rows == ({"field": "discount", "rows": 1},)


def test_a_silver_that_passes_its_payload_on_has_read_it(lake_path: Path) -> None:
    def visits(clicks: DataFrame) -> DataFrame:
        return clicks

    pipeline = Pipeline.from_tables("web", [clicks, silver(visits)], start=dt.date(2026, 2, 1))
    web = WrittenLake(lake_path, pipeline=pipeline)  # whose Silver has a column `value`
    land(web, FIRST)
    land(web, FIRST | {"coupon": "SAVE"})
    assert next(one for one in run_checks(web.lake, pipeline) if one.check == CHECK).passed


def test_one_who_looks_again_and_again_forgets_what_is_long_gone_and_looks_at_new_batches_alone(
    web: WrittenLake,
) -> None:
    checks = HealthChecks(web.lake, PIPELINE)
    land(web, FIRST | {"coupon": "SAVE"})
    told = [next(one for one in checks.run() if one.check == CHECK).passed for _ in range(2)]
    assert told == [False, False]
    for _ in range(31):
        land(web, FIRST)
        last = next(one for one in checks.run() if one.check == CHECK)
    assert (last.passed, last.facts["rows_looked_at"]) == (True, 30)


def test_files_that_are_gone_or_damaged_say_nothing(web: WrittenLake) -> None:
    land(web, FIRST | {"coupon": "SAVE"}).unlink()
    land(web, FIRST | {"coupon": "SAVE"}).write_bytes(b"PAR1")
    assert found(web).passed


def test_before_anything_was_written_nothing_is_said(lake_path: Path) -> None:
    outcome = found(WrittenLake(lake_path, pipeline=PIPELINE))
    assert (outcome.passed, outcome.summary) == (True, "Nothing that reads it was written yet.")


def test_a_value_that_python_has_no_equal_of_is_counted_all_the_same() -> None:
    far = pa.array([2**62, None], pa.timestamp("us"))
    assert sample_of(pa.table({"at": far})).fields == {("at", ""): 1}
