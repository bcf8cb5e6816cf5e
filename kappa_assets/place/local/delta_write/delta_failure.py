"""What delta-rs raises when a write fails: a full disk told from somebody else's commit."""

from __future__ import annotations

import re
from pathlib import Path

from deltalake.exceptions import DeltaError

from kappa_assets.errors import LakeError
from kappa_assets.place.local.log_files import latest_version

WRITE_FAILED = (DeltaError, OSError)
"""How a failed write shows. On a full or unwritable disk delta-rs raises an OSError where it writes the log, a
DeltaError ("Failed to parse parquet") where it writes data, and a TableNotFoundError where it makes the folder."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def was_overtaken(folder: Path, version: int) -> bool:
    """Return whether somebody else has committed since `version` (-1: before there was a table).

    The log itself is asked: the texts of delta-rs for a lost race and for a fault of the disk overlap.
    """
    newest = latest_version(folder)
    return newest is not None and newest > version


def cannot_write(name: str, folder: Path, error: Exception) -> LakeError:
    """Return the error that says that `name` cannot be written, and why, in one line."""
    return LakeError(
        f"{name} cannot be written in {str(folder)!r}: {_in_one_line(error)}",
        hint="Check that the disk is there, writable and not full.",
    )


def _in_one_line(error: Exception) -> str:
    """Return the text of delta-rs, a coloured chain of causes on several lines, as one plain line."""
    lines = (line.strip().removeprefix("↳").strip() for line in _COLOUR.sub("", str(error)).splitlines())
    return ": ".join(line for line in lines if line)
