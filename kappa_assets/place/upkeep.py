"""What upkeep asks of a place for one table. What may go is decided above, by the gate alone; a place does it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Unneeded:
    """Files of a table, or of its log, that may go, with the bytes of each, and how many stay."""

    sizes: Mapping[str, int]
    kept: int
    upto: int
    """The newest version that has then lost something: that removed one of the files from the table, or whose entry of
    the log is among them; -1 if none is known."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, by their paths below the table's folder, in the order in which they go."""
        return tuple(self.sizes)

    @property
    def bytes(self) -> int:
        """What they take on the disk."""
        return sum(self.sizes.values())


class SmallFiles(Protocol):
    """The small files of one slice that become one. `slice` is None for a table without slices."""

    @property
    def slice(self) -> str | None:
        """The day."""
        ...

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, oldest first."""
        ...

    @property
    def rows(self) -> int:
        """Rows in all of them."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes of all of them."""
        ...


class TableUpkeep(Protocol):
    """The files of one table, for upkeep."""

    def small_files(self, called: str, *, before: dt.date) -> Sequence[SmallFiles]:
        """Return what there is to rewrite of a table that people call so: each slice before a day with small files."""
        ...

    def compact(self, files: SmallFiles) -> bool:
        """Put one file in the place of several, in one commit without a change of data; return whether it was done.

        Not done when somebody replaced one of them meanwhile, or the table is gone. The caller holds the lake's turn of
        upkeep. Raises LakeError when a file cannot be read.
        """
        ...

    def checkpoint(self) -> None:
        """Write a checkpoint of the log; none if the table is gone."""
        ...

    def merge(self) -> None:
        """Make one file of all that a side table has. Raises CommitFailedError when it changes meanwhile."""
        ...

    def unneeded(
        self, first_kept: int, since: dt.datetime, *, loose_since: dt.datetime | None = None, known_upto: int = -1
    ) -> Unneeded:
        """Return the files that no version from `first_kept` on refers to and that last changed before `since`.

        Of those that no version is known to have removed, only what last changed before `loose_since`, which is `since`
        if left out. Removals up to version `known_upto` are known to be gone, and not looked for.
        """
        ...

    def old_entries(self, bound: int, now: dt.datetime) -> Unneeded:
        """Return what may go of the log when everything from version `bound` on must stay readable."""
        ...

    def erase(self, paths: Sequence[str]) -> list[str]:
        """Remove those of the files that the newest version does not name, and folders left empty; return them."""
        ...

    def erase_entries(self, paths: Sequence[str]) -> None:
        """Remove entries of the log, in this order."""
        ...
