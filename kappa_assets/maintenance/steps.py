"""What maintenance does, step by step: each step can be shown before it is done, and does just what it shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from deltalake.exceptions import CommitFailedError

from kappa_assets.errors import RegistryConflict
from kappa_assets.maintenance.gate import Gate, upkeep_turn
from kappa_assets.maintenance.upstreams import Key
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Registry
from kappa_assets.place.upkeep import SmallFiles, Unneeded


@dataclass(frozen=True)
class Upkeep:
    """What was done, or would be: files before and after, and the bytes they had or that were freed."""

    table: str
    what: str
    files_before: int
    files_after: int
    bytes: int

    def row(self) -> Mapping[str, object]:
        """Return it as a row that the CLI and Dagster show."""
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

    key: Key
    files: int
    bytes: int

    def preview(self) -> Upkeep:
        """Return what it would do."""
        table, number = self.key
        return Upkeep(str(table), f"remove g{number}", self.files, 0, self.bytes)

    def do(self, gate: Gate) -> Upkeep:
        """Do what still may be done, and return what was."""
        shown = self.preview()
        gate.remove_generation(*self.key)
        return shown


@dataclass(frozen=True)
class Optimize:
    """Merge the small files of finished slices of one table."""

    table: str
    stored: StoredTable
    slices: tuple[SmallFiles, ...]

    def preview(self) -> Upkeep:
        """Return what it would do."""
        return self._upkeep(self.slices)

    def do(self, gate: Gate) -> Upkeep:
        """Do what still may be done, and return what was."""
        done = []
        for small in self.slices:
            with upkeep_turn(gate.lake):  # a discard of the candidate waits, or has been: then nothing is there
                if self.stored.upkeep().compact(small):
                    done.append(small)
        if done:
            with upkeep_turn(gate.lake):
                self.stored.upkeep().checkpoint()
        return self._upkeep(done)

    def _upkeep(self, slices: tuple[SmallFiles, ...] | list[SmallFiles]) -> Upkeep:
        files, size = sum(len(s.paths) for s in slices), sum(s.bytes for s in slices)
        return Upkeep(self.table, f"optimize {len({s.slice for s in slices})} slices", files, len(slices), size)


@dataclass(frozen=True)
class Vacuum:
    """Remove files that nothing refers to any more. `key` is None for a table of our own beside the data."""

    table: str
    stored: StoredTable
    key: Key | None
    unneeded: Unneeded

    def preview(self) -> Upkeep:
        """Return what it would do."""
        found = self.unneeded
        return Upkeep(self.table, "vacuum", len(found.paths) + found.kept, found.kept, found.bytes)

    def do(self, gate: Gate) -> Upkeep:
        """Do what still may be done, and return what was."""
        gone = gate.remove_files(self.stored, self.key, self.unneeded.paths)
        return _done(self.preview(), gone, self.unneeded.sizes)


@dataclass(frozen=True)
class CleanLog:
    """Remove entries of a table's log that nobody reads any more."""

    table: str
    stored: StoredTable
    key: Key | None
    old: Unneeded

    def preview(self) -> Upkeep:
        """Return what it would do."""
        found = self.old
        return Upkeep(self.table, "clean log", len(found.paths) + found.kept, found.kept, found.bytes)

    def do(self, gate: Gate) -> Upkeep:
        """Do what still may be done, and return what was."""
        gone = gate.remove_entries(self.stored, self.key, self.old.paths)
        return _done(self.preview(), gone, self.old.sizes)


@dataclass(frozen=True)
class _OneFile:
    """Merge the files of a small table of our own into one: each change there is a file."""

    table: str
    stored: StoredTable
    files: int
    bytes: int

    def preview(self) -> Upkeep:
        """Return what it would do."""
        return Upkeep(self.table, "optimize", self.files, 1, self.bytes)

    def do(self, gate: Gate) -> Upkeep:
        """Do what still may be done, and return what was."""
        try:
            self._merge(gate)
        except (CommitFailedError, RegistryConflict):  # somebody changed it just now; the next run does it
            return Upkeep(self.table, "optimize: it is in use", self.files, self.files, 0)
        return self.preview()

    def _merge(self, gate: Gate) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Tidy(_OneFile):
    """Merge the files of a tape index."""

    def _merge(self, gate: Gate) -> None:  # noqa: ARG002 -- steps are done alike; it removes nothing
        self.stored.upkeep().merge()


@dataclass(frozen=True)
class Fold(_OneFile):
    """Fold the registry's events: what upkeep said before and says anew goes, and one file is left."""

    def _merge(self, gate: Gate) -> None:
        registry = Registry(gate.lake)
        registry.fold(registry.state())
        self.stored.upkeep().checkpoint()


MaintenanceStep = Expire | Optimize | Vacuum | CleanLog | Tidy | Fold

_FEW = 20
"""So many files of a table of our own are left alone."""


def tidy(table: str, stored: StoredTable) -> list[MaintenanceStep]:
    """Return the step that merges the files of a tape index, if it has more than a few."""
    sizes = _file_sizes(stored)
    return [Tidy(table, stored, len(sizes), sum(sizes))] if len(sizes) > _FEW else []


def fold_registry(stored: StoredTable) -> list[MaintenanceStep]:
    """Return the step that folds the registry, if it has more than a few files."""
    sizes = _file_sizes(stored)
    return [Fold("registry", stored, len(sizes), sum(sizes))] if len(sizes) > _FEW else []


def _file_sizes(stored: StoredTable) -> list[int]:
    newest = stored.newest()
    return [] if newest is None else [int(size) for size in stored.files(newest).column("size_bytes").to_pylist()]


def _done(shown: Upkeep, gone: Collection[str], sizes: Mapping[str, int]) -> Upkeep:
    """Return what was done of what was shown: what the gate refused is still there."""
    return replace(shown, files_after=shown.files_before - len(gone), bytes=sum(sizes[path] for path in gone))
