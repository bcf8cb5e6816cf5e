"""Disks that are full or cannot be written, for tests. Small disks of their own can be made by root only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int = 16) -> Iterator[Path]:
    """Put a small disk of its own at `folder`. Skips the test when this user may not."""
    folder.mkdir()
    size = f"size={megabytes}m"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"mounting a small disk needs root: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(disk: Path, view: Path) -> Iterator[Path]:
    """Show the disk at another place, where nothing can be written."""
    view.mkdir()
    subprocess.run(["mount", "--bind", str(disk), str(view)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(view)], check=True)
    try:
        yield view
    finally:
        subprocess.run(["umount", "-l", str(view)], check=True)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Take the right to write into `folder` away. Root is not bound by rights: it gets a read-only mount."""
    if os.geteuid() == 0:
        made = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"taking rights away from root needs a mount: {made.stderr.decode().strip()}")
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    else:
        folder.chmod(0o555)
    try:
        yield
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        else:
            folder.chmod(0o755)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave not a byte free on a small disk, for the block."""
    fill(disk)
    try:
        yield
    finally:
        (disk / "filler").unlink()


def fill(disk: Path) -> None:
    """Leave not a byte free; the file `filler` holds what was."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        size = 1 << 20
        while size:
            try:
                if filler.write(b"x" * size) < size:
                    size //= 2
            except OSError:
                size //= 2
