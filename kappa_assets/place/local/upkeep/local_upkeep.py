"""The files of one table in a local folder, as upkeep has them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from kappa_assets.place.local.delta_write.rows import merge_rows
from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.local.upkeep import compaction, removal
from kappa_assets.place.local.upkeep.old_entries import find_old_entries
from kappa_assets.place.local.upkeep.unneeded import find_unneeded
from kappa_assets.place.upkeep import SmallFiles, Unneeded


@dataclass(frozen=True)
class LocalUpkeep:
    """The files of the table in `folder`."""

    folder: Path

    def small_files(self, called: str, *, before: dt.date) -> Sequence[SmallFiles]:
        return compaction.small_files(called, self.folder, before=before)

    def compact(self, files: SmallFiles) -> bool:
        assert isinstance(files, compaction.SmallFiles)  # noqa: S101 -- for mypy; they were found here
        return compaction.compact(files)

    def checkpoint(self) -> None:
        compaction.checkpoint(self.folder)

    def merge(self) -> None:
        with table_turn(self.folder):
            table = DeltaTable(self.folder)
            merge_rows(table, self.folder)
            table.create_checkpoint()

    def unneeded(
        self, first_kept: int, since: dt.datetime, *, loose_since: dt.datetime | None = None, known_upto: int = -1
    ) -> Unneeded:
        return find_unneeded(self.folder, first_kept, since, loose_since=loose_since, known_upto=known_upto)

    def old_entries(self, bound: int, now: dt.datetime) -> Unneeded:
        return find_old_entries(self.folder, bound, now)

    def erase(self, paths: Sequence[str]) -> list[str]:
        return removal.remove_files(self.folder, paths)

    def erase_entries(self, paths: Sequence[str]) -> None:
        removal.remove_entries(self.folder, paths)
