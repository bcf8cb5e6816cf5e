"""OPTIMIZE: the same rows in fewer files, of finished slices alone, in commits that change no data."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder

from kappa_assets import faults
from kappa_assets.errors import LakeError
from kappa_assets.log.delta_log import read_commit
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.local.log_files import latest_version
from kappa_assets.place.local.upkeep.compaction import compact, small_files
from kappa_assets_tests.maintenance.hand_lake import MONDAY, TUESDAY, HandLake
from kappa_assets_tests.place.delta_write.by_hand import log_file
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, VISITS

TODAY = dt.date(2026, 1, 6)


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    made = HandLake(lake_path)
    for _ in range(6):
        made.land(MONDAY, TUESDAY)
    return made


def test_only_slices_before_today_are_rewritten_and_every_value_stays(hand: HandLake) -> None:
    folder, before, newest = hand.folder(CLICKS), hand.rows(CLICKS), latest_version(hand.folder(CLICKS))
    found = small_files("clicks", folder, before=TODAY)
    assert [(s.slice, len(s.paths), s.rows) for s in found] == [(MONDAY, 6, 18)]
    assert compact(found[0])
    assert newest is not None
    commit = read_commit(folder, newest + 1)
    assert not commit.adds_data
    assert not commit.removes_data
    assert (commit.note, commit.stream_files) == (None, 0)
    assert hand.rows(CLICKS) == before
    assert len(DeltaTable(folder).file_uris()) == 7
    assert small_files("clicks", folder, before=TODAY) == []


def test_a_tape_stays_append_only_and_takes_the_next_batch(hand: HandLake) -> None:
    for small in small_files("clicks", hand.folder(CLICKS), before=TODAY):
        assert compact(small)
    hand.land(MONDAY)
    assert hand.rows(CLICKS).total() == 6 * 2 * 3 + 3
    assert DeltaTable(hand.folder(CLICKS)).metadata().configuration["delta.appendOnly"] == "true"


def test_statistics_are_exact_so_that_readers_skip_only_what_they_may(hand: HandLake) -> None:
    """delta-rs's own OPTIMIZE rounds the bounds of such decimals to floating-point numbers."""
    folder = hand.folder(CLICKS)
    assert compact(small_files("clicks", folder, before=TODAY)[0])
    newest = latest_version(folder)
    assert newest is not None
    actions = map(json.loads, log_file(folder, newest).read_text().splitlines())
    stats = json.loads(next(a["add"]["stats"] for a in actions if "add" in a), parse_float=decimal.Decimal)
    base = decimal.Decimal("12345678901234567890.1234")
    assert (stats["minValues"]["amount"], stats["maxValues"]["amount"]) == (base, base + 5)
    assert stats["maxValues"]["_arrived_at"] == "2026-01-05T12:00:05.124Z"
    query = "SELECT count(*) AS n FROM t WHERE _arrived_at > TIMESTAMP '2026-01-05T12:00:05.123400Z'"
    rows = QueryBuilder().register("t", DeltaTable(folder)).execute(query).read_all()
    assert rows.column("n").to_pylist() == [6]


def test_the_new_version_has_a_checksum_of_the_whole_table(hand: HandLake) -> None:
    folder = hand.folder(CLICKS)
    assert compact(small_files("clicks", folder, before=TODAY)[0])
    newest = latest_version(folder)
    checksum = json.loads((folder / "_delta_log" / f"{newest:020d}.crc").read_text())
    assert checksum["numFiles"] == 7
    assert checksum["metadata"]["partitionColumns"] == ["_arrival_date"]
    hand.land(MONDAY)
    after = json.loads((folder / "_delta_log" / f"{(newest or 0) + 1:020d}.crc").read_text())
    assert after["numFiles"] == 8
    assert after["tableSizeBytes"] == sum(Path(uri).stat().st_size for uri in DeltaTable(folder).file_uris())


def test_a_column_that_older_files_lack_is_null_for_their_rows(hand: HandLake) -> None:
    folder = hand.folder(CLICKS)
    hand.land(MONDAY, lacking="tags")
    before = hand.rows(CLICKS)
    assert compact(small_files("clicks", folder, before=TODAY)[0])
    assert hand.rows(CLICKS) == before


def test_files_that_hold_other_rows_than_the_log_says_are_left_alone(hand: HandLake) -> None:
    folder = hand.folder(CLICKS)
    found = small_files("clicks", folder, before=TODAY)[0]
    damaged = folder / found.paths[0]
    pq.write_table(pq.read_table(damaged).slice(0, 1), damaged)
    files, newest = hand.files(CLICKS), latest_version(folder)
    with pytest.raises(LakeError, match="its log counts 18 rows, its files hold 16"):
        compact(found)
    assert (hand.files(CLICKS), latest_version(folder)) == (files, newest)


def test_somebody_who_replaced_a_file_meanwhile_wins(hand: HandLake) -> None:
    folder = hand.folder(CLICKS)
    found = small_files("clicks", folder, before=TODAY)[0]
    assert compact(found)
    files, newest = hand.files(CLICKS), latest_version(folder)
    assert not compact(found)
    assert (hand.files(CLICKS), latest_version(folder)) == (files, newest)


def test_killed_before_the_commit_the_table_is_as_it_was(hand: HandLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kill is an error that no code of ours catches; the file it leaves is removed by VACUUM, by age."""

    class Killed(BaseException):
        pass

    def kill(point: faults.Point, what: str) -> None:
        if point == "optimizing":
            raise Killed

    monkeypatch.setattr(faults, "_hooks", [kill])
    monkeypatch.setattr(shutil, "rmtree", lambda *_: None)
    folder, before, newest = hand.folder(CLICKS), hand.rows(CLICKS), latest_version(hand.folder(CLICKS))
    with pytest.raises(Killed):
        compact(small_files("clicks", folder, before=TODAY)[0])
    monkeypatch.undo()
    assert (latest_version(folder), hand.rows(CLICKS)) == (newest, before)
    assert len(hand.files(CLICKS)) == 13
    for _ in range(2):  # the second removes what the first has merged
        maintain(hand.lake, PIPELINE, now=dt.datetime.now(dt.UTC) + dt.timedelta(days=8), progress=lambda _: None)
    assert hand.rows(CLICKS) == before
    assert hand.files(CLICKS) == {str(Path(uri).relative_to(folder)) for uri in DeltaTable(folder).file_uris()}


def test_running_again_commits_nothing(hand: HandLake) -> None:
    hand.read(days=(MONDAY, TUESDAY))
    now = dt.datetime.now(dt.UTC)
    first = maintain(hand.lake, PIPELINE, now=now, progress=lambda _: None)
    assert [(u.table, u.what, u.files_before, u.files_after) for u in first] == [
        ("bronze.clicks", "optimize 2 slices", 12, 2)
    ]
    versions = latest_version(hand.folder(CLICKS)), latest_version(hand.folder(VISITS))
    assert maintain(hand.lake, PIPELINE, now=now, progress=lambda _: None) == []
    assert (latest_version(hand.folder(CLICKS)), latest_version(hand.folder(VISITS))) == versions
