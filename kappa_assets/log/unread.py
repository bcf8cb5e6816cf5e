"""What a reader that has come to an offset has not read of its upstream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kappa_assets.log.logs import ON_DISK
from kappa_assets.log.note import Offset


@dataclass(frozen=True)
class Unread:
    """What a reader has not read of its upstream yet."""

    version: int
    """Where it goes on: the log must be there from this version on."""
    data: int | None
    """The first version whose files it still needs; None when nothing there changed rows (OPTIMIZE did not)."""


def unread_after(folder: Path, offset: Offset) -> Unread:
    """Return what a reader that has come to `offset` has not read of the table in `folder`.

    One that is in its first snapshot needs the files of that version until it has read them all.
    """
    if offset.starting or offset.index >= 0:
        return Unread(offset.version, offset.version)
    return Unread(offset.version, ON_DISK.first_data_after(folder, offset.version - 1))
