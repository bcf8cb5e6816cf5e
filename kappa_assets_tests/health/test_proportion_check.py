"""The check of how much batches read: it warns of a large table that is read for a few rows, and of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kappa_assets import Files, Pipeline, bronze, gold, silver
from kappa_assets.declare.tables import Derived
from kappa_assets.health import CheckOutcome, run_checks
from kappa_assets.health.proportion_check import FEW, reads_in_proportion
from kappa_assets.log.note import CommitNote, InputRange, Offset
from kappa_assets.place.change import Scan
from kappa_assets_tests.written_logs import PAGES, PIPELINE, VISITS, WrittenLake

MANY = 20 * FEW


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    """A lake whose Gold was built by a first batch, which read all there was."""
    web = WrittenLake(lake_path)
    web.read(VISITS, upto=web.land())
    web.read(PAGES, upto=0, scanned=Scan(400, MANY, 900), landed=1)
    return web


def follow(web: WrittenLake, **said: Any) -> None:
    """Have the Gold read a next batch."""
    version = web.version(PAGES)
    web.read(PAGES, upto=version, since=version - 1, **said)


def check(web: WrittenLake) -> CheckOutcome:
    found = run_checks(web.lake, PIPELINE, now=web.now)
    return next(o for o in found if (o.table, o.check) == (PAGES, "reads_in_proportion"))


def test_a_large_table_that_is_read_for_few_rows_is_warned_of_with_what_to_do(web: WrittenLake) -> None:
    follow(web, scanned=Scan(400, MANY, 900_000_000), landed=50)
    follow(web, scanned=Scan(401, MANY + 50, 900_000_100), landed=50)
    found = check(web)
    assert (found.passed, found.severity) == (False, "warn")
    assert found.summary.startswith(
        "Its last 2 batches read 40,000,050 rows (801 files, 1,800.0 MB) for 100 that landed. Say keep_inputs=True "
    )
    assert "every=" not in found.summary, "it has one"
    assert found.summary.endswith("`kappa explain gold.pages` says what a batch of it reads.")
    assert found.facts == {
        "batches": 2,
        "rows_read": 40_000_050,
        "rows_landed": 100,
        "rows_read_for_one": 400_000.5,
        "bytes_read": 1_800_000_100,
        "files_opened": 801,
    }


def test_rows_read_for_none_that_landed_are_out_of_proportion(web: WrittenLake) -> None:
    follow(web, scanned=Scan(400, MANY, 900), landed=0)
    found = check(web)
    assert not found.passed
    assert found.facts["rows_read_for_one"] is None


@pytest.mark.parametrize(
    ("rows", "landed"),
    [
        (MANY, MANY // 100),  # a hundred for one
        (FEW, 1),  # a small table is read whole for nothing
        (0, 0),
    ],
)
def test_what_is_in_proportion_or_small_passes(web: WrittenLake, rows: int, landed: int) -> None:
    follow(web, scanned=Scan(9, rows, 900), landed=landed)
    found = check(web)
    assert found.passed
    assert found.summary == f"Its last batch read {rows:,} rows (9 files, 0.0 MB) for {landed:,} that landed."


def test_one_row_more_than_either_bound_is_too_much(web: WrittenLake) -> None:
    follow(web, scanned=Scan(9, FEW + 1, 900), landed=FEW // 100)
    assert not check(web).passed


def test_batches_count_together(web: WrittenLake) -> None:
    follow(web, scanned=Scan(9, MANY, 900), landed=50)
    follow(web, scanned=Scan(9, MANY, 900), landed=MANY)
    assert check(web).passed


def test_twenty_commits_are_looked_at(web: WrittenLake) -> None:
    follow(web, scanned=Scan(9, MANY + 1, 900), landed=1)
    for _ in range(19):
        follow(web, scanned=Scan(1, 10, 10), landed=5)
    before = check(web)
    assert (before.passed, before.facts["batches"]) == (False, 20)
    follow(web, scanned=Scan(1, 10, 10), landed=5)
    found = check(web)
    assert (found.passed, found.facts["rows_read"]) == (True, 200)


@pytest.mark.parametrize("said", [{}, {"landed": 50}])
def test_a_table_whose_notes_tell_nothing_of_it_passes(web: WrittenLake, said: dict[str, Any]) -> None:
    follow(web, **said)
    found = check(web)
    assert (found.passed, found.facts) == (True, {})
    assert found.summary == "Nothing was noted of rows read beyond those that landed."


@pytest.mark.parametrize("said", [{"scanned": Scan(400, None, 900), "landed": 5}, {"scanned": Scan(400, MANY, 900)}])
def test_where_one_of_both_numbers_is_not_known_nothing_is_judged(web: WrittenLake, said: dict[str, Any]) -> None:
    follow(web, **said)
    found = check(web)
    assert (found.passed, found.facts) == (True, {})
    assert "the log does not tell one of both" in found.summary


def test_a_batch_that_builds_the_table_does_not_count(web: WrittenLake) -> None:
    assert check(web).passed
    assert check(web).facts == {}


def test_a_table_that_has_no_log_yet_passes() -> None:
    pages = PIPELINE[PAGES]
    assert isinstance(pages, Derived)
    assert reads_in_proportion(pages, None).passed


# --- what would make it cheaper, by the declaration ---------------------------------------------------------------
clicks = bronze("clicks", source=Files("clicks"))


@silver
def visits(clicks: Any) -> Any:
    return clicks


@gold
def whole(visits: Any) -> Any:
    return visits


@gold(keys=["page"], keep_inputs=True)
def kept(visits: Any) -> Any:
    return visits


@gold(keys=["page"], combine={"n": "sum"})
def combined(visits: Any) -> Any:
    return visits


@silver(keys=["page"], by=["page"])
def grouped(visits: Any) -> Any:
    return visits


@silver(keys=["page"], by=["page"], keep_inputs=True)
def grouped_of_kept(visits: Any) -> Any:
    return visits


@pytest.mark.parametrize(
    ("table", "told", "untold"),
    [
        (whole, ["Give it keys", "Say every="], ["keep_inputs"]),
        (kept, ["such as days or slices", "Say every="], ["Say keep_inputs", "Give it keys"]),
        (combined, ["Say every="], ["keep_inputs", "Give it keys"]),
        (grouped, ["Say keep_inputs", "Say every="], ["Give it keys"]),
        (grouped_of_kept, ["such as days or slices", "Say every="], ["Say keep_inputs", "Give it keys"]),
    ],
    ids=["whole", "kept", "combined", "grouped", "grouped, of kept inputs"],
)
def test_what_is_told_suits_the_declaration(
    lake_path: Path, table: Derived, told: list[str], untold: list[str]
) -> None:
    pipeline = Pipeline.from_tables("cheaper", [clicks, visits, table])
    web = WrittenLake(lake_path, pipeline=pipeline)
    read = InputRange(1, Offset(1, -1, False), Offset(2, -1, False), 1)
    note = CommitNote(
        str(table.name), 1, 1, "x", reads={"silver.visits": read}, rows=3, scanned=Scan(4, MANY, 9), landed=1
    )
    web.commit(table.name, note)
    outcomes = run_checks(web.lake, pipeline, now=web.now)
    found = next(o for o in outcomes if (o.table, o.check) == (table.name, "reads_in_proportion"))
    assert not found.passed
    assert [words for words in told if words not in found.summary] == []
    assert [words for words in untold if words in found.summary] == []
