"""Rows of small, unpartitioned tables of our own (registry, tape index, rejects): written, merged, taken out.

What delta-rs does with DataFusion (`write_deltalake`, `delete`, `merge`, `optimize`) panics ("Invalid object store
url", which is no Exception) where a folder's path holds one of `[]^|`, percent-encoded or not (1.6.6). Reading and
committing do not. So rows are written with pyarrow here, and delta-rs commits the files. Drop when it takes such paths.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from kappa_assets.place.local.delta_write.file_stats import file_stats
from kappa_assets.place.local.delta_write.held_files import held_files

_ONE_TRY = CommitProperties(max_commit_retries=0)
"""A commit that lands on the version it was decided on, or fails. Without it two processes that both make a table were
seen to succeed, the second as version 1."""


def create_with_rows(folder: Path, rows: pa.Table) -> None:
    """Make an unpartitioned table with its first rows, in one commit. Raises CommitFailedError when there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    action = _written(folder, rows)
    try:
        create_table_with_add_actions(
            str(folder), Schema.from_arrow(rows.schema), [action], "error", commit_properties=_ONE_TRY
        )
    except BaseException:
        (folder / action.path).unlink()
        raise


def append_rows(table: DeltaTable, folder: Path, rows: pa.Table) -> None:
    """Append rows to an unpartitioned table as it was opened. Raises CommitFailedError when it has moved on."""
    _exchange(table, folder, [], rows)


def replace_rows(table: DeltaTable, folder: Path, rows: pa.Table) -> None:
    """Put `rows` in the place of all. Raises CommitFailedError when the table has moved on since it was opened."""
    _exchange(table, folder, held_files(table), rows)


def merge_rows(table: DeltaTable, folder: Path) -> None:
    """Make one file of all. Raises CommitFailedError when the table has moved on since it was opened."""
    actions = held_files(table)
    rows = pa.concat_tables([_rows_of(folder, action) for action in actions])
    _exchange(table, folder, actions, rows, data_change=False)


def delete_rows(table: DeltaTable, folder: Path, column: str, value: int) -> None:
    """Take the rows with `value` in an integer column out of an unpartitioned table, in one commit, if there are any.

    Raises CommitFailedError when the table has moved on since it was opened.
    """
    gone, kept = [], []
    for action in held_files(table):
        low, high = action.get(f"min.{column}"), action.get(f"max.{column}")
        if low is not None and high is not None and not low <= value <= high:
            continue
        rows = _rows_of(folder, action)
        stays = rows.filter(pc.fill_null(pc.not_equal(rows.column(column), value), True))
        if stays.num_rows < rows.num_rows:
            gone.append(action)
            kept.append(stays)
    if gone:
        _exchange(table, folder, gone, pa.concat_tables(kept, promote_options="default"))


def _rows_of(folder: Path, action: Mapping[str, Any]) -> pa.Table:
    with pq.ParquetFile(folder / action["path"]) as file:
        return file.read()


def _exchange(
    table: DeltaTable, folder: Path, old: list[Mapping[str, Any]], rows: pa.Table, *, data_change: bool = True
) -> None:
    """Commit `rows` in the place of the files `old`."""
    now = int(time.time() * 1000)
    removed = [RemoveAction(a["path"], data_change, now, size=a["size_bytes"], partition_values={}) for a in old]
    added = [_written(folder, rows, data_change=data_change)] if rows.num_rows else []
    try:
        table.create_write_transaction([*removed, *added], "append", table.schema(), None, commit_properties=_ONE_TRY)
    except BaseException:
        for action in added:
            (folder / action.path).unlink()
        raise


def _written(folder: Path, rows: pa.Table, *, data_change: bool = True) -> AddAction:
    path = folder / f"part-{uuid.uuid4()}.parquet"
    pq.write_table(rows, path, compression="snappy", coerce_timestamps="us")
    size, modified = path.stat().st_size, int(path.stat().st_mtime * 1000)
    return AddAction(path.name, size, {}, modified, data_change, file_stats(path)[1])
