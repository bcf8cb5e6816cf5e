"""Rows of small tables of our own: written in one commit on the version it was decided on, merged, and taken out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

import kappa_assets
from kappa_assets.log.delta_log import read_commit
from kappa_assets.place.local.delta_write.rows import (
    append_rows,
    create_with_rows,
    delete_rows,
    merge_rows,
    replace_rows,
)


def rows(*numbers: int | None) -> pa.Table:
    return pa.table({"n": pa.array(numbers, pa.int64()), "text": pa.array([f"row {n}" for n in numbers])})


def numbers(folder: Path) -> list[int | None]:
    found = DeltaTable(folder).to_pyarrow_table()
    assert found.column("text").to_pylist() == [f"row {n}" for n in found.column("n").to_pylist()]
    return sorted(found.column("n").to_pylist(), key=lambda n: (n is None, n))


@pytest.fixture(params=["plain", "[odd] ^a|b ü #1"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A table of three files."""
    folder: Path = tmp_path / request.param / "t"
    create_with_rows(folder, rows(1, 2))
    append_rows(DeltaTable(folder), folder, rows(2, None))
    append_rows(DeltaTable(folder), folder, rows(3))
    return folder


def test_each_write_is_one_commit_with_bounds(folder: Path) -> None:
    assert numbers(folder) == [1, 2, 2, 3, None]
    assert DeltaTable(folder).version() == 2
    actions = pa.table(DeltaTable(folder).get_add_actions(flatten=True))
    assert sorted(actions.column("max.n").to_pylist()) == [2, 2, 3]


def test_of_two_that_decide_on_one_version_the_second_is_refused_and_leaves_no_file(folder: Path) -> None:
    before, files = DeltaTable(folder), set(folder.glob("*.parquet"))
    append_rows(DeltaTable(folder), folder, rows(4))
    files |= set(folder.glob("*.parquet"))
    with pytest.raises(CommitFailedError):
        append_rows(before, folder, rows(5))
    with pytest.raises(CommitFailedError):
        merge_rows(before, folder)
    with pytest.raises(CommitFailedError):
        delete_rows(before, folder, "n", 1)
    with pytest.raises(DeltaError):
        create_with_rows(folder, rows(6))
    assert numbers(folder) == [1, 2, 2, 3, 4, None]
    assert set(folder.glob("*.parquet")) == files


def test_merging_makes_one_file_of_the_same_rows_and_changes_no_data(folder: Path) -> None:
    merge_rows(DeltaTable(folder), folder)
    assert numbers(folder) == [1, 2, 2, 3, None]
    assert len(DeltaTable(folder).file_uris()) == 1
    commit = read_commit(folder, 3)
    assert (commit.adds_data, commit.removes_data) == (False, False)


@pytest.mark.parametrize(
    ("value", "left"), [(2, [1, 3, None]), (3, [1, 2, 2, None]), (1, [2, 2, 3, None]), (9, [1, 2, 2, 3, None])]
)
@pytest.mark.parametrize("merged", [False, True])
def test_rows_are_taken_out_by_value_and_the_others_stay(
    folder: Path,
    value: int,
    left: list[int | None],
    merged: bool,  # noqa: FBT001
) -> None:
    if merged:
        merge_rows(DeltaTable(folder), folder)
    before = DeltaTable(folder).version()
    delete_rows(DeltaTable(folder), folder, "n", value)
    assert numbers(folder) == left
    assert DeltaTable(folder).version() == before + (value != 9)
    delete_rows(DeltaTable(folder), folder, "n", value)
    assert DeltaTable(folder).version() == before + (value != 9), "there was nothing to take out"


def test_rows_are_put_in_the_place_of_all(folder: Path) -> None:
    replace_rows(DeltaTable(folder), folder, rows(7, 8))
    assert (numbers(folder), DeltaTable(folder).version()) == ([7, 8], 3)


def test_the_last_row_may_be_taken_out(tmp_path: Path) -> None:
    create_with_rows(tmp_path, rows(1, 1))
    delete_rows(DeltaTable(tmp_path), tmp_path, "n", 1)
    assert DeltaTable(tmp_path).to_pyarrow_table().num_rows == 0
    append_rows(DeltaTable(tmp_path), tmp_path, rows(2))
    assert numbers(tmp_path) == [2]


def test_nothing_is_written_by_what_panics_on_a_path_with_brackets() -> None:
    for path in Path(kappa_assets.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {node.name for node in nodes if isinstance(node, ast.alias)}
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert "write_deltalake" not in imported | used, f"{path}: append_rows takes any path"
        assert not re.search(r"\.optimize\.(compact|z_order)", path.read_text()), f"{path}: merge_rows takes any path"
