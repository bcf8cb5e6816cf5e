"""What maintenance does, step by step: each step can be shown before it is done, and does just what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from kappa_assets.delta_write.rows import merge_rows
from kappa_assets.lock import table_turn
from kappa_assets.maintenance.clean_log import OldEntries, remove_entries
from kappa_assets.maintenance.compact import SmallFiles, checkpoint, compact
from kappa_assets.maintenance.sweep import Unneeded, remove


@dataclass(frozen=True)
class Upkeep:
    """What was done, or would be: files before and after, and the bytes they had or that were freed."""

    table: str
    what: str
    files_before: int
    files_after: int
    bytes: int

    def row(self) -> Mapping[str, object]:
        return {
            "table": self.table,
            "what": self.what,
            "files_before": self.files_before,
            "files_after": self.files_after,
            "bytes": self.bytes,
        }


@dataclass(frozen=True)
class Expire:
    """Remove the folders of a generation that the registry says is expired or discarded."""

    table: str
    number: int
    folders: tuple[Path, ...]

    def preview(self) -> Upkeep:
        files = [p for folder in self.folders for p in folder.rglob("*") if p.is_file()]
        return Upkeep(self.table, f"remove g{self.number}", len(files), 0, sum(p.stat().st_size for p in files))

    def do(self) -> Upkeep:
        shown = self.preview()
        for folder in self.folders:
            shutil.rmtree(folder)
        return shown


@dataclass(frozen=True)
class Optimize:
    """Merge the small files of finished slices of one table."""

    table: str
    folder: Path
    slices: tuple[SmallFiles, ...]

    def preview(self) -> Upkeep:
        return self._upkeep(self.slices)

    def do(self) -> Upkeep:
        done = [small for small in self.slices if compact(small)]
        if done:
            checkpoint(self.folder)
        return self._upkeep(done)

    def _upkeep(self, slices: tuple[SmallFiles, ...] | list[SmallFiles]) -> Upkeep:
        files, size = sum(len(s.paths) for s in slices), sum(s.bytes for s in slices)
        return Upkeep(self.table, f"optimize {len({s.slice for s in slices})} slices", files, len(slices), size)


@dataclass(frozen=True)
class Vacuum:
    """Remove files that nothing refers to any more."""

    table: str
    folder: Path
    unneeded: Unneeded

    def preview(self) -> Upkeep:
        found = self.unneeded
        return Upkeep(self.table, "vacuum", len(found.paths) + found.kept, found.kept, found.bytes)

    def do(self) -> Upkeep:
        remove(self.folder, self.unneeded)
        return self.preview()


@dataclass(frozen=True)
class CleanLog:
    """Remove entries of a table's log that nobody reads any more."""

    table: str
    old: OldEntries

    def preview(self) -> Upkeep:
        found = self.old
        return Upkeep(self.table, "clean log", len(found.paths) + found.kept, found.kept, found.bytes)

    def do(self) -> Upkeep:
        remove_entries(self.old)
        return self.preview()


@dataclass(frozen=True)
class Tidy:
    """Merge the files of a table of our own, the registry or a tape index: each change there is a small file."""

    table: str
    folder: Path
    files: int
    bytes: int

    def preview(self) -> Upkeep:
        return Upkeep(self.table, "optimize", self.files, 1, self.bytes)

    def do(self) -> Upkeep:
        with table_turn(self.folder):
            delta = DeltaTable(self.folder)
            try:
                merge_rows(delta, self.folder)
            except CommitFailedError:  # somebody changed it just now; the next run does it
                return Upkeep(self.table, "optimize: it is in use", self.files, self.files, 0)
            delta.create_checkpoint()
        return self.preview()


Step = Expire | Optimize | Vacuum | CleanLog | Tidy


def tidy(table: str, folder: Path, *, more_than: int = 20) -> list[Step]:
    """Return the step that merges the files of `folder`, if it has more than a few."""
    if not DeltaTable.is_deltatable(str(folder)):
        return []
    sizes = pa.table(DeltaTable(folder).get_add_actions()).column("size_bytes").to_pylist()
    return [Tidy(table, folder, len(sizes), sum(sizes))] if len(sizes) > more_than else []
