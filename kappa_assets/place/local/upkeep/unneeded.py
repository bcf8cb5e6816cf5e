"""VACUUM: finds the files that no version still needed refers to, and what killed writers left, in a table's folder.

Done here and not by delta-rs: its VACUUM knows whole hours only, counts the same removed files again in every run, with
two commits each time, and takes from the log's checkpoint what was removed lately; a checkpoint forgets after a week,
however far back a slow reader is.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kappa_assets.place.local.log_files import checkpoint_files, log_file, read_actions, versions
from kappa_assets.place.upkeep import Unneeded

_DATA = ("data", "_change_data")
"""Folders of a table, besides those of slices, that hold nothing but files of the table."""


def find_unneeded(
    folder: Path, first_kept: int, since: dt.datetime, *, loose_since: dt.datetime | None = None, known_upto: int = -1
) -> Unneeded:
    """Return the files that no version from `first_kept` on refers to and that last changed before `since`.

    Of those that no version is known to have removed, only what last changed before `loose_since`, which is `since` if
    left out: what nothing refers to may be what is being written, for as long as a batch may take. Removals up to
    version `known_upto` are known to be gone, and not looked for.
    """
    log = versions(folder)
    tombstones = _tombstones(folder)
    protected = live_files(folder) | {path for v in log if v >= first_kept for path in _removed_in(folder, v)}
    protected |= {path for path, at in tombstones.items() if at is None or at >= since.timestamp() * 1000}
    removed = tombstones.keys() | {path for v in log if v < first_kept for path in _removed_in(folder, v)}
    loose = (loose_since or since).timestamp()
    gone: dict[str, int] = {}
    kept = 0
    for path, stat in _files(folder):
        about = subject(path.relative_to(folder))
        before = since.timestamp() if about in removed else loose
        if about in protected or last_change(stat) >= before:
            kept += 1
        else:
            gone[str(path.relative_to(folder))] = stat.st_size
    removals = [v for v in log if known_upto < v < first_kept]
    return Unneeded(gone, kept, _newest_removal(folder, removals, gone))


def live_files(folder: Path) -> set[str]:
    """Return the files of the newest version, relative to the table's folder, as the log and as the disk names them."""
    paths = pa.table(DeltaTable(folder).get_add_actions()).column("path").to_pylist()
    return {unquote(path) for path in paths} | set(paths)


def subject(relative: Path) -> str:
    """Return the file that a file is about: Hadoop keeps the checksum of `x.parquet` in `.x.parquet.crc`."""
    name = relative.name
    if name.startswith(".") and name.endswith(".crc"):
        return str(relative.with_name(name[1 : -len(".crc")]))
    return str(relative)


def last_change(stat: os.stat_result) -> float:
    """Return when a file was written or got another name, in seconds.

    A replay links files that it has not committed yet. A link keeps the time of writing; that of the last change of
    the file's entry it renews.
    """
    return max(stat.st_mtime, stat.st_ctime)


def _newest_removal(folder: Path, versions: list[int], gone: Iterable[str]) -> int:
    names = set(gone)
    return next((v for v in reversed(versions) if names and names & _removed_in(folder, v)), -1)


def _removed_in(folder: Path, version: int) -> set[str]:
    """Return the files that a version took out of the table, or wrote for its change feed."""
    found = set()
    for action in read_actions(log_file(folder, version), b'"remove"', b'"cdc"'):
        found |= {unquote(action[kind]["path"]) for kind in ("remove", "cdc") if kind in action}
    return found


def _tombstones(folder: Path) -> dict[str, int | None]:
    """Return the files that the newest checkpoint says were removed, and when: by commits that may be cleaned."""
    checkpoints = checkpoint_files(folder)
    if not checkpoints:
        return {}
    removed = pq.read_table(checkpoints[-1], columns=["remove"]).column("remove").to_pylist()
    return {unquote(r["path"]): r["deletionTimestamp"] for r in removed if r is not None}


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
