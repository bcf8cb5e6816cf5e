"""Parquet files below a table's folder: invisible until a commit names them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from deltalake.transaction import AddAction
from pyspark.sql import DataFrame

from kappa_assets.place.local.delta_write.file_stats import file_stats
from kappa_assets.place.local.delta_write.small_files import (
    NO_PARTITION,
    ResultTooLarge,
    fetch_small,
    write_small,
)


@dataclass(frozen=True)
class WrittenFiles:
    """Files that a commit may add, and their rows and bytes."""

    actions: tuple[AddAction, ...]
    rows: int
    bytes: int

    def and_also(self, other: WrittenFiles) -> WrittenFiles:
        """Return these files and others."""
        return WrittenFiles((*self.actions, *other.actions), self.rows + other.rows, self.bytes + other.bytes)


NOTHING = WrittenFiles((), 0, 0)


def write_files(
    df: DataFrame,
    table: Path,
    partition_by: Iterable[str] = (),
    *,
    small: bool = False,
    observed: bool = False,
    below: str = "data",
    rows_a_file: int | None = None,
) -> WrittenFiles:
    """Write `df` as Parquet files below `table` and return them, ready to commit.

    `small`: the batch was made of little, so that fetching it is cheaper than a write job of Spark. When it is too
    large after all, Spark writes it. `observed`: an Observation counts its rows; then ResultTooLarge is raised, for the
    caller to try again with `small=False` and another Observation. `below`: the folder of the table's that they go to.
    `rows_a_file`: where a task of Spark's begins another file.
    """
    columns = tuple(partition_by)
    try:
        paths = _write(df, table, columns, small=small, below=below, rows_a_file=rows_a_file)
        return describe_files(table, paths, columns)
    except ResultTooLarge:
        if observed:
            raise
        return describe_files(table, _write(df, table, columns, small=False, below=below), columns)


def write_apart(
    df: DataFrame, table: Path, flag: str, partition_by: tuple[str, ...], *, small: bool = False
) -> tuple[WrittenFiles, list[Path]]:
    """Write `df` in one pass; return the files of rows whose `flag` is false, ready to commit, and those of the others.

    The others are for the caller to read and delete: no commit names them. Two passes, one for each kind, took a fifth
    longer on 5 M rows. Raises ResultTooLarge, as `write_files` does for what is observed.
    """
    paths = _write(df, table, (flag, *partition_by), small=small)
    apart = [path for path in paths if f"/{flag}=true/" in path]
    return describe_files(table, [p for p in paths if p not in apart], partition_by), [table / p for p in apart]


def _write(
    df: DataFrame,
    table: Path,
    partition_by: tuple[str, ...],
    *,
    small: bool,
    below: str = "data",
    rows_a_file: int | None = None,
) -> list[str]:
    """Write `df` and return the paths, relative to `table`.

    Each call has a folder of its own, so that two jobs never share a `_temporary`. Its name does not begin with an
    underscore: what a crash leaves uncommitted is removed by VACUUM.
    """
    relative = f"{below}/{uuid.uuid4().hex}"
    fetched = fetch_small(df) if small else None
    if fetched is not None:
        write_small(fetched, table / relative, partition_by)
    else:
        writer = df.write.option("compression", "snappy").option("maxRecordsPerFile", rows_a_file or 0)
        (writer.partitionBy(*partition_by) if partition_by else writer).parquet(str(table / relative))
    return _parquet_below(table, relative)


def describe_files(table: Path, paths: Iterable[str], partition_columns: tuple[str, ...]) -> WrittenFiles:
    """Return the add actions of Parquet files, given relative to `table`, with statistics from their footers."""
    actions = []
    rows = size = 0
    for path in paths:
        stat = (table / path).stat()
        records, stats = file_stats(table / path)
        if records == 0:
            continue
        partition = dict(_partition_values(path, partition_columns))
        actions.append(AddAction(path, stat.st_size, partition, int(stat.st_mtime * 1000), True, stats))
        rows += records
        size += stat.st_size
    return WrittenFiles(tuple(actions), rows, size)


def _parquet_below(table: Path, relative: str) -> list[str]:
    """Return the files a finished job left, relative to `table`. Partition folders begin with an underscore too."""
    found = []
    for folder, folders, names in os.walk(table / relative):
        folders[:] = sorted(f for f in folders if f != "_temporary")
        found += [Path(folder, n) for n in sorted(names) if n.endswith(".parquet") and n[0] not in "._"]
    return [str(path.relative_to(table)) for path in found]


def _partition_values(path: str, columns: tuple[str, ...]) -> Iterable[tuple[str, str | None]]:
    for part in path.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals and name in columns:
            yield name, None if value == NO_PARTITION else unquote(value)
