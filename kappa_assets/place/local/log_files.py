"""The files of a Delta log: how they are called, which are there, and the actions in one. Nobody else names them."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

_DIGITS = 20
_CHECKPOINT = ".checkpoint.parquet"


def log_folder(table: Path) -> Path:
    """Return the folder of a table's log."""
    return table / "_delta_log"


def log_file(table: Path, version: int) -> Path:
    """Return the file of one commit."""
    return log_folder(table) / f"{version:0{_DIGITS}d}.json"


def checksum_file(table: Path, version: int) -> Path:
    """Return the file of the checksum of one version."""
    return log_file(table, version).with_suffix(".crc")


def checkpoint_files(table: Path) -> list[Path]:
    """Return the checkpoints of a table's log, oldest first."""
    return sorted(log_folder(table).glob(f"*{_CHECKPOINT}"))


def is_checkpoint(path: Path) -> bool:
    """Return whether a file of a log is a checkpoint; the checksum that Hadoop keeps of one is not."""
    return path.name.endswith(_CHECKPOINT)


def version_of(path: Path) -> int:
    """Return the version that a file of a log belongs to; also of a hidden one (Hadoop's checksums of files)."""
    return int(path.name.lstrip(".")[:_DIGITS])


def log_entries(table: Path) -> dict[int, list[Path]]:
    """Return the files of a table's log by version, in order; those without a version are left out."""
    found: defaultdict[int, list[Path]] = defaultdict(list)
    for path in log_folder(table).iterdir():
        if path.is_file() and path.name.lstrip(".")[:_DIGITS].isdigit():
            found[version_of(path)].append(path)
    return dict(sorted(found.items()))


def latest_version(table: Path) -> int | None:
    """Return the table's version, or None when there is no table yet."""
    known = versions(table)
    return known[-1] if known else None


def newest_from(table: Path, version: int | None) -> int | None:
    """Return the table's version, found by following its log from `version`: one `stat` when nothing is new.

    None for `version` lists the log; None is returned when there is no table yet.
    """
    if version is None:
        return latest_version(table)
    while log_file(table, version + 1).exists():
        version += 1
    return version


def identity_of(table: Path, version: int) -> tuple[int, int] | None:
    """Return what tells a commit's file from another of its name: inode and time of writing; None if it is not there.

    The inode alone does not: a file system gives that of a removed file to the next.
    """
    try:
        stat = log_file(table, version).stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def versions(table: Path) -> list[int]:
    """Return the versions whose log files are there, in order; none when there is no table."""
    try:
        names = os.listdir(log_folder(table))  # noqa: PTH208 -- names only; a Path each costs ten times as much
    except FileNotFoundError:
        return []
    return sorted(
        int(name[:_DIGITS]) for name in names if name.endswith(".json") and len(name) == _DIGITS + len(".json")
    )


def read_actions(log_file: Path, *having: bytes) -> list[dict[str, Any]]:
    """Return the actions of one commit; with `having`, only those whose line has one of these bytes.

    Raises OSError when the file cannot be read, ValueError when a line is no JSON. Only a line feed ends a line: JSON
    may hold other line separators as they are (U+2028, U+0085), and Spark writes them so into a file's statistics.
    """
    lines = log_file.read_bytes().split(b"\n")
    return [json.loads(x) for x in lines if x.strip() and (not having or any(one in x for one in having))]


def committed_at(table: Path, version: int) -> float:
    """Return when a version was committed, in seconds; only the line that tells is parsed, of many."""
    path = log_file(table, version)
    with path.open() as log:
        bodies = [json.loads(line) for line in log if '"commitInfo"' in line]
    told = [body["commitInfo"].get("timestamp") for body in bodies if "commitInfo" in body]
    return told[0] / 1000 if told and told[0] is not None else path.stat().st_mtime
