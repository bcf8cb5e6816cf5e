"""Epochs: numbers that only grow, one for each lease that is handed out in a lake. They fence off who lost a lease."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kappa_assets.errors import LakeError
from kappa_assets.place.change import is_fence
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import checkpoint_files, log_file, log_folder, read_actions, versions

_DIGITS = 20
"""The number is written over the one before, never shorter: so it needs no space on a full disk."""


def next_epoch(lake: Lake) -> int:
    """Return an epoch above all that this lake has handed out; it is on the disk before anybody has it.

    Where the file that counts was lost or damaged, it is above every epoch that a table of the lake has seen. Raises
    LakeError when it cannot be written.
    """
    path = lake.system / "epoch"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = os.pread(descriptor, _DIGITS, 0).decode(errors="replace").strip()
            last = int(text) if text.isascii() and text.isdecimal() else max(_seen(lake), default=0)
            os.pwrite(descriptor, str(last + 1).encode().ljust(_DIGITS), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LakeError(
            f"{str(path)!r} cannot be written: {error.strerror}",
            hint="Check that the disk is there, not full, and that this user may write.",
        ) from error
    return last + 1


def _seen(lake: Lake) -> Iterator[int]:
    """Yield the epochs in the logs of all tables of a lake."""
    for log in lake.root.rglob(log_folder(Path()).name):
        for transaction in _transactions(log.parent):
            if is_fence(transaction["appId"]):
                yield int(transaction["version"])


def _transactions(table: Path) -> Iterator[dict[str, Any]]:
    for path in checkpoint_files(table)[-1:]:
        yield from (row for row in pq.read_table(path, columns=["txn"]).column("txn").to_pylist() if row is not None)
    for version in versions(table):
        yield from (action["txn"] for action in read_actions(log_file(table, version), b'"txn"') if "txn" in action)
