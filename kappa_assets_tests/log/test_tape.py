"""The tape: which commit wrote which batch, before and after Delta's log was cleaned up."""

from __future__ import annotations

from pathlib import Path

import pytest

from kappa_assets.errors import ReplayError, TapeGap
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.place.delta_write.by_hand import append, append_to_tape, log_file

INVOICES = TableName.parse("bronze.invoices")


@pytest.fixture
def lake(lake_path: Path) -> Lake:
    return Lake.at(lake_path)


@pytest.fixture
def folder(lake: Lake) -> Path:
    return lake.folder(INVOICES)


def clean_log(folder: Path, before: int) -> None:
    """What Delta's log clean-up leaves: a checkpoint and the newer commits."""
    from deltalake import DeltaTable

    DeltaTable(folder).create_checkpoint()
    for version in range(before):
        log_file(folder, version).unlink()


def test_a_tape_without_commits_is_before_its_first_batch(lake: Lake) -> None:
    tape = Tape(lake, INVOICES)
    assert (tape.commits(), tape.head()) == ([], BEFORE_THE_TAPE)
    tape.sync()
    assert not lake.tape_index(INVOICES).exists()


def test_commits_that_arrive_while_it_is_read_are_found(lake: Lake, folder: Path) -> None:
    tape = Tape(lake, INVOICES)
    for batch in range(3):
        append_to_tape(folder, batch, ["2026-01-05"] * (batch + 1))
        assert tape.head() == Position(batch, batch)
    assert [(c.batch, c.version, c.rows) for c in tape.commits()] == [(0, 0, 1), (1, 1, 2), (2, 2, 3)]
    assert tape.commits()[2].slices == {"2026-01-05": 3}


def test_commits_of_others_take_no_batch_and_stand_for_the_one_before(lake: Lake, folder: Path) -> None:
    append_to_tape(folder, 0, ["2026-01-05"])
    append(folder, ["2026-01-05"], text="OPTIMIZE, say")
    append_to_tape(folder, 1, ["2026-01-06"])
    tape = Tape(lake, INVOICES)
    assert [tape.position_at(v) for v in (0, 1, 2)] == [Position(0, 0), Position(0, 0), Position(1, 2)]
    assert [tape.first_batch_from(v) for v in (0, 1, 2)] == [0, 1, 1]


def test_versions_that_do_not_exist_are_refused(lake: Lake, folder: Path) -> None:
    append_to_tape(folder, 0, ["2026-01-05"])
    tape = Tape(lake, INVOICES)
    with pytest.raises(ReplayError, match="has no version 1; its newest is 0"):
        tape.position_at(1)
    with pytest.raises(ReplayError, match="-1 is no Bronze version"):
        tape.first_batch_from(-1)
    assert tape.position_at(-1) == BEFORE_THE_TAPE


def test_the_index_outlives_the_log(lake: Lake, folder: Path) -> None:
    for batch in range(6):
        append_to_tape(folder, batch, ["2026-01-05", f"2026-01-0{batch + 1}"])
    whole = Tape(lake, INVOICES)
    whole.sync()
    before = list(whole.commits())
    clean_log(folder, 4)
    after = Tape(lake, INVOICES)
    assert after.commits() == before
    assert after.first_batch_from(2) == 2
    append_to_tape(folder, 6, ["2026-01-09"])
    assert after.head() == Position(6, 6)
    assert Tape(lake, INVOICES).commits() == after.commits()


def test_without_an_index_a_cleaned_log_is_read_from_where_it_begins(lake: Lake, folder: Path) -> None:
    for batch in range(4):
        append_to_tape(folder, batch, ["2026-01-05"])
    clean_log(folder, 2)
    assert [c.batch for c in Tape(lake, INVOICES).commits()] == [2, 3]


def test_commits_that_were_cleaned_before_they_were_indexed_are_a_gap(lake: Lake, folder: Path) -> None:
    for batch in range(2):
        append_to_tape(folder, batch, ["2026-01-05"])
    Tape(lake, INVOICES).sync()
    for batch in range(2, 6):
        append_to_tape(folder, batch, ["2026-01-05"])
    clean_log(folder, 4)
    with pytest.raises(TapeGap, match="no longer holds versions 2 to 3"):
        Tape(lake, INVOICES).commits()


def test_syncing_again_writes_only_what_is_new(lake: Lake, folder: Path) -> None:
    from deltalake import DeltaTable

    tape = Tape(lake, INVOICES)
    append_to_tape(folder, 0, ["2026-01-05"])
    tape.sync()
    tape.sync()
    Tape(lake, INVOICES).sync()
    append_to_tape(folder, 1, [])
    tape.sync()
    assert DeltaTable(lake.tape_index(INVOICES)).version() == 1
    rows = DeltaTable(lake.tape_index(INVOICES)).to_pyarrow_table().sort_by("batch").to_pylist()
    assert [(r["batch"], r["version"], r["rows"]) for r in rows] == [(0, 0, 1), (1, 1, 0)]
