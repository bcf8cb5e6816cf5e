"""The Delta log read without a JVM, on logs as Delta writes them."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest

import kappa_assets
from kappa_assets.errors import LakeError, TapeGap
from kappa_assets.log.delta_log import commits, last_note, read_commit
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.log_files import latest_version, read_actions
from kappa_assets_tests.place.delta_write.by_hand import add, append, cdc, log_file, remove, write_commit

NOTE = CommitNote("silver.sales", 1, 0, "code")


def test_a_table_that_does_not_exist_has_no_versions_and_no_commits(tmp_path: Path) -> None:
    assert latest_version(tmp_path / "no") is None
    assert list(commits(tmp_path / "no")) == []
    assert last_note(tmp_path / "no") is None


def test_a_commit_tells_its_rows_by_slice_its_time_and_its_note(tmp_path: Path) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    version = append(tmp_path / "t", ["2026-01-05", "2026-01-05", "2026-01-06"], NOTE)
    commit = read_commit(tmp_path / "t", version)
    assert commit.rows_by_slice == {"2026-01-05": 2, "2026-01-06": 1}
    assert (commit.rows, commit.operation, commit.note, commit.stream_files) == (3, "WRITE", NOTE, 2)
    assert (commit.adds_data, commit.removes_data) == (True, False)
    assert before <= commit.at <= dt.datetime.now(dt.UTC)


def test_the_slices_that_lost_rows_are_told_by_what_the_log_has_of_them(tmp_path: Path) -> None:
    named = {"remove": {"path": "a", "dataChange": True, "partitionValues": {"_arrival_date": "2026-01-05"}}}
    write_commit(tmp_path / "t", 0, named, remove("data/x/_arrival_date=2026-01-06/f.parquet"))
    write_commit(tmp_path / "t", 1, remove("f"), remove("_arrival_date=2026-01-07/f", data_change=False))
    assert [c.removed_slices for c in commits(tmp_path / "t")] == [{"2026-01-05", "2026-01-06"}, {""}]


def test_commits_are_given_oldest_first_between_two_versions(tmp_path: Path) -> None:
    for _ in range(5):
        append(tmp_path / "t", ["2026-01-05"])
    assert [c.version for c in commits(tmp_path / "t")] == [0, 1, 2, 3, 4]
    assert [c.version for c in commits(tmp_path / "t", after=1, upto=3)] == [2, 3]
    assert list(commits(tmp_path / "t", after=4)) == []


def test_versions_that_were_cleaned_away_are_a_gap_when_asked_for_and_not_otherwise(tmp_path: Path) -> None:
    for _ in range(5):
        append(tmp_path / "t", ["2026-01-05"])
    for version in (0, 1):
        log_file(tmp_path / "t", version).unlink()
    assert [c.version for c in commits(tmp_path / "t")] == [2, 3, 4]
    assert [c.version for c in commits(tmp_path / "t", after=1)] == [2, 3, 4]
    with pytest.raises(TapeGap, match="no longer holds versions 1 to 1"):
        list(commits(tmp_path / "t", after=0))
    with pytest.raises(LakeError, match=r"commit 1 of '.*/t' cannot be read"):
        read_commit(tmp_path / "t", 1)


def test_other_files_in_the_log_folder_are_no_versions(tmp_path: Path) -> None:
    append(tmp_path / "t", ["2026-01-05"])
    log = tmp_path / "t" / "_delta_log"
    for name in (
        "_last_checkpoint",
        f"{9:020d}.crc",
        f"{9:020d}.checkpoint.parquet",
        f".{9:020d}.json.tmp",
        "_commits",
    ):
        (log / name).touch()
    assert latest_version(tmp_path / "t") == 0


def test_optimize_changes_no_data_and_is_not_counted_by_streams(tmp_path: Path) -> None:
    write_commit(tmp_path, 0, add("a", 3), add("b", 4), note=NOTE)
    write_commit(tmp_path, 1, remove("a", data_change=False), add("c", 7, data_change=False))
    optimize = read_commit(tmp_path, 1)
    assert (optimize.adds_data, optimize.removes_data, optimize.stream_files, optimize.note) == (False, False, 0, None)


def test_a_stream_counts_change_files_where_there_are_some(tmp_path: Path) -> None:
    write_commit(tmp_path, 0, remove("a"), add("b"), add("c"), cdc("x"), cdc("y"), cdc("z"))
    assert read_commit(tmp_path, 0).stream_files == 3
    assert read_commit(tmp_path, 0).bytes == 3, "and it reads those alone"


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x85", "\x7f", "ü"])
def test_only_a_line_feed_ends_an_action(tmp_path: Path, inside: str) -> None:
    """Spark writes a text's bounds as they are when it rewrites a file: `DELETE FROM` by hand does."""
    stats = json.dumps({"numRecords": 3, "maxValues": {"text": f"a{inside}b"}}, ensure_ascii=False)
    added = {"add": {"path": f"a{inside}", "partitionValues": {}, "dataChange": True, "stats": stats}}
    write_commit(tmp_path, 0)
    log_file(tmp_path, 0).write_bytes((json.dumps(added, ensure_ascii=False) + "\n").encode())
    assert read_commit(tmp_path, 0).rows == 3
    assert [c.rows for c in commits(tmp_path)] == [3]
    assert read_actions(log_file(tmp_path, 0), b'"remove"') == []
    assert read_actions(log_file(tmp_path, 0), b'"add"') == [added]


def test_no_log_is_split_by_pythons_idea_of_lines() -> None:
    for path in Path(kappa_assets.__file__).parent.rglob("*.py"):
        assert not re.search(r"read_text\([^)]*\)\.splitlines", path.read_text()), f"{path}: read_actions splits right"


def test_the_last_note_steps_over_other_writers_and_stops_where_asked(tmp_path: Path) -> None:
    later = CommitNote("silver.sales", 1, 1, "code")
    write_commit(tmp_path, 0, add(), note=NOTE)
    write_commit(tmp_path, 1, add())
    write_commit(tmp_path, 2, add(), note=later)
    write_commit(tmp_path, 3, add(data_change=False))
    assert last_note(tmp_path) == (2, later)
    assert last_note(tmp_path, at_most=1) == (0, NOTE)
    assert last_note(tmp_path, at_most=-1) is None


def test_files_without_statistics_or_slice_count_as_what_is_known(tmp_path: Path) -> None:
    write_commit(tmp_path, 0, {"add": {"path": "a", "dataChange": True}}, add("b", 5, _arrival_date="2026-01-05"))
    assert read_commit(tmp_path, 0).rows_by_slice == {"": 0, "2026-01-05": 5}


def test_a_commit_file_cut_in_half_is_named(tmp_path: Path) -> None:
    write_commit(tmp_path, 0, add())
    log_file(tmp_path, 0).write_text('{"commitInfo": {"timest')
    with pytest.raises(LakeError, match=r"commit 0 of .* cannot be read"):
        read_commit(tmp_path, 0)
