"""VACUUM: files that no version still needed refers to, and what killed writers left, removed from a table's folder.

Done here and not by delta-rs: its VACUUM knows whole hours only, counts the same removed files again in every run, with
two commits each time, and takes from the log's checkpoint what was removed lately; a checkpoint forgets after a week,
however far back a slow reader is.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kappa_assets import delta_log

_LOG = "_delta_log"
_DATA = ("data", "_change_data")
"""Folders of a table, besides those of slices, that hold nothing but files of the table."""


@dataclass(frozen=True)
class Unneeded:
    """Files below a table's folder that may go, and how many stay."""

    paths: tuple[Path, ...]
    bytes: int
    kept: int
    removed_upto: int
    """The newest version that removed one of them from the table; -1 if none did, or it is not known any more."""


def find_unneeded(folder: Path, first_kept: int, since: dt.datetime, *, known_upto: int = -1) -> Unneeded:
    """Return the files that no version from `first_kept` on refers to and that were written before `since`.

    A younger file that nothing refers to may be one that is being written: it is left alone. Removals up to version
    `known_upto` are known to be gone, and not looked for.
    """
    live = _live_files(folder)
    log = delta_log.versions(folder)
    removed = {path for v in log if v >= first_kept for path in _removed_in(folder, v)}
    protected = live | removed | _removed_lately(folder, since)
    gone, size, kept = [], 0, 0
    for path, stat in _files(folder):
        if _subject(path.relative_to(folder)) in protected or stat.st_mtime >= since.timestamp():
            kept += 1
        else:
            gone.append(path)
            size += stat.st_size
    removals = [v for v in log if known_upto < v < first_kept]
    return Unneeded(tuple(gone), size, kept, _newest_removal(folder, removals, gone))


def remove(folder: Path, unneeded: Unneeded) -> int:
    """Remove the files, and the folders below `data/` that they leave empty; return how many files went.

    What the table refers to by now (somebody restored an old version) stays.
    """
    live = _live_files(folder)
    count = 0
    emptied = set()
    for path in unneeded.paths:
        if _subject(path.relative_to(folder)) not in live:
            path.unlink(missing_ok=True)
            emptied.add(path.parent)
            count += 1
    for parent in emptied:
        _remove_empty(parent, folder)
    return count


def _newest_removal(folder: Path, versions: list[int], gone: list[Path]) -> int:
    names = {str(path.relative_to(folder)) for path in gone}
    return next((v for v in reversed(versions) if names and names & _removed_in(folder, v)), -1)


def _live_files(folder: Path) -> set[str]:
    paths = pa.table(DeltaTable(folder).get_add_actions()).column("path").to_pylist()
    return {unquote(path) for path in paths} | set(paths)


def _removed_in(folder: Path, version: int) -> set[str]:
    """Return the files that a version took out of the table, or wrote for its change feed."""
    found = set()
    for action in delta_log.read_actions(folder / _LOG / f"{version:020d}.json", b'"remove"', b'"cdc"'):
        found |= {unquote(action[kind]["path"]) for kind in ("remove", "cdc") if kind in action}
    return found


def _removed_lately(folder: Path, since: dt.datetime) -> set[str]:
    """Return the files that the newest checkpoint says were removed after `since`, by commits that may be cleaned."""
    checkpoints = sorted((folder / _LOG).glob("*.checkpoint.parquet"))
    if not checkpoints:
        return set()
    removed = pq.read_table(checkpoints[-1], columns=["remove"]).column("remove").to_pylist()
    moment = since.timestamp() * 1000
    return {unquote(r["path"]) for r in removed if r is not None and (r["deletionTimestamp"] or moment) >= moment}


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files of a table's folder that are data, or litter beside data; never the log's."""
    for top in folder.iterdir():
        if top.is_dir() and not top.is_symlink():
            if top.name in _DATA or "=" in top.name:
                yield from _below(top)
        elif top.suffix in (".parquet", ".crc"):
            yield from _stat(top)


def _below(top: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for where, _, names in os.walk(top):
        for name in names:
            yield from _stat(Path(where, name))


def _stat(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with suppress(FileNotFoundError):  # a writer's temporary file, renamed just now
        yield path, path.stat()


def _subject(relative: Path) -> str:
    """Return the file that a file is about: Hadoop keeps the checksum of `x.parquet` in `.x.parquet.crc`."""
    name = relative.name
    if name.startswith(".") and name.endswith(".crc"):
        return str(relative.with_name(name[1 : -len(".crc")]))
    return str(relative)


def _remove_empty(folder: Path, upto: Path) -> None:
    while upto not in (folder, folder.parent):
        try:
            folder.rmdir()
        except OSError:  # not empty
            return
        folder = folder.parent
