"""Where everything of a lake lies. Paths are built here and nowhere else."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.errors import LakeError
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.checkpoint_files import LocalCheckpointFiles
from kappa_assets.place.local.host_files import LocalHostFiles
from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.local.stored_table import LocalStoredTable

_NO_PATH = re.compile(r"[\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Lake:
    """A folder that holds the tapes, the generations, the checkpoints and the registry.

    Readers outside open `link(table)`; code inside opens a generation by its own path, because Spark caches a
    table's state by path.
    """

    root: Path

    @classmethod
    def at(cls, where: str | Path) -> Lake:
        """Return the lake in a local folder, made if it is missing. Raises LakeError when it cannot be written."""
        root = Path(where).expanduser().resolve()
        _check_path(root)
        try:
            (root / "_kappa").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(
                f"the lake {str(root)!r} cannot be made: {error.strerror}",
                hint="Name a folder this user may write, with --lake or KAPPA_LAKE.",
            ) from error
        if not os.access(root / "_kappa", os.W_OK):
            raise LakeError(
                f"the lake {str(root)!r} is not writable",
                hint="Give this user write access to it; nothing was changed.",
            )
        return cls(root)

    def free_bytes(self) -> int:
        """How much the disk of the lake can still take."""
        return shutil.disk_usage(self.root).free

    def shown(self, table: TableName) -> LocalStoredTable:
        """What readers outside open: the live generation, whichever that is."""
        return LocalStoredTable(self.link(table), str(table))

    def tapes(self) -> list[TableName]:
        """The Bronze tables that lie here, whoever declares them."""
        folder = self.root / Layer.BRONZE
        found = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
        return [TableName(Layer.BRONZE, name) for name in found]

    @property
    def called(self) -> str:
        """What people call the lake."""
        return str(self.root)

    @property
    def system(self) -> Path:
        """What is kappa_assets' own: generations, checkpoints, registry, rejects, locks."""
        return self.root / "_kappa"

    @property
    def registry(self) -> Path:
        """Where the registry's events lie, a Delta table."""
        return self.system / "registry"

    @property
    def events(self) -> LocalStoredTable:
        """The registry's events."""
        return LocalStoredTable(self.registry, "registry")

    def upkeep_turn(self) -> AbstractContextManager[None]:
        """Wait for, and hold, the turn in which files of a lake are removed, or rewritten by maintenance."""
        return table_turn(self.system / "upkeep")

    def lying(self, table: TableName, generation: int) -> tuple[int, int] | None:
        """How many files, of how many bytes, a generation, its state and its checkpoint have; None: nothing is left."""
        folders = [folder for folder in self._folders(table, generation) if folder.exists()]
        if not folders:
            return None
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return len(files), sum(path.stat().st_size for path in files)

    def erase_generation(self, table: TableName, generation: int) -> None:
        """Remove a generation, its state and its checkpoint."""
        from kappa_assets.place.local.upkeep.removal import remove_folders

        remove_folders(self._folders(table, generation))

    def _folders(self, table: TableName, generation: int) -> list[Path]:
        return [self.folder(table, generation), self.state(table, generation), self.checkpoint(table, generation)]

    @property
    def host(self) -> Path:
        """Lock and status of the host."""
        return self.system / "host"

    def table(self, name: TableName, generation: int = 1) -> LocalStoredTable:
        """One generation's Delta table. Bronze has one for ever."""
        return LocalStoredTable(self.folder(name, generation), str(name))

    def state_of(self, table: TableName, generation: int = 1) -> LocalStoredTable:
        """What a generation keeps beside what it shows, for batches to come."""
        return LocalStoredTable(self.state(table, generation), f"state of {table}")

    def set_aside(self, table: TableName) -> LocalStoredTable:
        """The side table of rows (Silver) or files (Bronze) that were set aside."""
        return LocalStoredTable(self.rejects(table), f"rejects of {table}")

    def index_of(self, bronze: TableName) -> LocalStoredTable:
        """The index of a tape: one line for each of its batches."""
        return LocalStoredTable(self.tape_index(bronze), f"tape index of {bronze}")

    def tape_index(self, bronze: TableName) -> Path:
        """Where the index of a tape lies, a Delta table."""
        return self.system / "tape" / bronze.name

    def ledger(self, bronze: TableName) -> Path:
        """The file of what a tape has taken, looked up by name. It can be made again from the tape."""
        return self.system / "ledger" / f"{bronze.name}.sqlite"

    def rejects(self, table: TableName) -> Path:
        """The side table of rows (Silver) or files (Bronze) that were set aside."""
        return self.system / "rejects" / table.layer / table.name

    def folder(self, table: TableName, generation: int = 1) -> Path:
        """Where one generation's Delta table lies. Bronze has one for ever, at its public place."""
        if table.is_tape:
            return self.root / table.layer / table.name
        return self.system / "tables" / table.layer / table.name / _numbered(generation)

    def state(self, table: TableName, generation: int = 1) -> Path:
        """Where the state of one generation lies, a Delta table, if its kind keeps one."""
        return self.system / "state" / table.layer / table.name / _numbered(generation)

    def checkpoint(self, table: TableName, generation: int = 1) -> Path:
        """Where the checkpoint of one generation's query lies."""
        return self.system / "checkpoints" / table.layer / table.name / _numbered(generation)

    def checkpoint_of(self, table: TableName, generation: int = 1) -> LocalCheckpointFiles:
        """The checkpoint of the query that writes one generation."""
        return LocalCheckpointFiles(self.checkpoint(table, generation))

    @property
    def host_files(self) -> LocalHostFiles:
        """What the host says about itself."""
        return LocalHostFiles(self.host)

    def link(self, table: TableName) -> Path:
        """What readers outside open; a symlink to the live generation for Silver and Gold."""
        return self.root / table.layer / table.name


def _check_path(root: Path) -> None:
    """Refuse what delta-rs does not find again (1.6.6): it decodes a path twice, and takes no control characters."""
    if _NO_PATH.search(str(root)):
        raise LakeError(
            f"the lake cannot lie in {str(root)!r}: its path has a backslash, a control character, or a percent sign "
            "that two hexadecimal digits follow",
            hint="Name another folder, or rename this one. Nothing was changed.",
        )


def _numbered(generation: int) -> str:
    return f"g{generation:04d}"
