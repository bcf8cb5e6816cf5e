"""The files of a Delta log: how they are called, which are there, and the actions in one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_COMMIT_DIGITS = 20


def log_file(table: Path, version: int) -> Path:
    """Return the file of one commit."""
    return table / "_delta_log" / f"{version:0{_COMMIT_DIGITS}d}.json"


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
        names = os.listdir(table / "_delta_log")  # noqa: PTH208 -- names only; a Path each costs ten times as much
    except FileNotFoundError:
        return []
    return sorted(
        int(name[:_COMMIT_DIGITS])
        for name in names
        if name.endswith(".json") and len(name) == _COMMIT_DIGITS + len(".json")
    )


def read_actions(log_file: Path, *having: bytes) -> list[dict[str, Any]]:
    """Return the actions of one commit; with `having`, only those whose line has one of these bytes.

    Raises OSError when the file cannot be read, ValueError when a line is no JSON. Only a line feed ends a line: JSON
    may hold other line separators as they are (U+2028, U+0085), and Spark writes them so into a file's statistics.
    """
    lines = log_file.read_bytes().split(b"\n")
    return [json.loads(x) for x in lines if x.strip() and (not having or any(one in x for one in having))]
