"""Whether a tape and the checkpoint of the query that writes it belong together: never believed, always looked up.

A new, older or foreign checkpoint counts its batches anew. Whoever goes by their numbers then takes batches that bring
other files for done: these files are never read, and nobody says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from kappa_assets.columns import BATCH_ID, SOURCE
from kappa_assets.errors import CheckpointMismatch
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import notes_back
from kappa_assets.log.note import CommitNote
from kappa_assets.names import TableName
from kappa_assets.sources.files.archive import ARCHIVE
from kappa_assets.sources.files.landed_names import path_below

_NAMED = 10
"""How many files an error names."""


@dataclass(frozen=True)
class TapeCheckpoint:
    """A tape with the folders of its rows and of its files set aside; its checkpoint; and where its files land."""

    table: TableName
    folder: Path
    rejects: Path
    checkpoint: Checkpoint
    landing: Path
    version: int
    """The tape's newest version; -1 for none. Its log is not listed for it: that would take longer with every batch."""
    took_nothing: Callable[[int], bool]
    """Whether a batch of this checkpoint is known to have brought nothing, before there was a table."""

    def check_start(self) -> None:
        """Raise CheckpointMismatch when batches that the checkpoint has done are not on the tape."""
        done, newest = self.checkpoint.newest_done(), self._newest()
        if done is None:
            return
        if newest is None:
            if not self.took_nothing(done):
                raise self._ahead(done, None)
        elif newest.checkpoint not in (None, self.checkpoint.id()):
            raise self._foreign(newest, ())
        elif done > newest.batch:
            raise self._ahead(done, newest)

    def is_on_tape(self, number: int, paths: Collection[str]) -> bool:
        """Return whether the batch with this number, which brings these files, is on the tape.

        The first batch of a new checkpoint is taken when no file that lies in the landing folder is on the tape.
        Raises CheckpointMismatch when the number says one thing, and the files another.
        """
        newest = self._newest()
        if newest is None:
            if number and not self.took_nothing(number - 1):
                raise self._ahead(number - 1, None)
            return False
        mine = self.checkpoint.id()
        if number == newest.batch + 1 and newest.checkpoint in (None, mine):
            return False
        if newest.checkpoint == mine and number > newest.batch:
            raise self._ahead(number - 1, newest)
        if newest.checkpoint == mine or (newest.checkpoint is None and number == newest.batch):
            found = next((n for n in self._notes() if n.batch == number and n.checkpoint in (None, mine)), None)
            if found is not None and self._brought(found, paths):
                return True
            if newest.checkpoint == mine:
                raise self._behind(number, newest)
        there = self._on_tape({*self._below(paths), *self._landed()})
        if number or there:
            raise self._foreign(newest, there)
        return False

    def _brought(self, note: CommitNote, paths: Collection[str]) -> bool:
        """Return whether a commit brought these files, or these and some that were tidied away since."""
        if note.inputs == digest(paths):
            return True
        names = self._below(paths)
        counted = note.source.get("files", 0) + note.source.get("set_aside", 0)
        known = self._on_tape(names, note.tape_batch) | _set_aside(self.rejects, note.batch)
        return len(paths) <= counted and names <= known

    def _newest(self) -> CommitNote | None:
        return next(self._notes(), None)

    def _notes(self) -> Iterator[CommitNote]:
        """Yield the notes of the tape's batches, newest first."""
        return (note for _, note in notes_back(self.folder, at_most=self.version) if note.tape_batch is not None)

    def _landed(self) -> set[str]:
        """Return all files that Spark finds in the landing folder: a first batch may take only some of them."""
        found = (path.relative_to(self.landing) for path in self.landing.rglob("*") if path.is_file())
        return {str(path) for path in found if _is_listed(path)}

    def _below(self, paths: Iterable[str]) -> set[str]:
        return {path_below(self.landing, path) for path in paths}

    def _on_tape(self, names: set[str], batch: int | None = None) -> set[str]:
        """Return which of these files the tape, or one batch on it, has rows of."""
        of_batch = None if batch is None else ds.field(BATCH_ID) == batch
        rows = DeltaTable(self.folder).to_pyarrow_dataset()
        found: set[str] = set()
        for part in rows.to_batches(columns={"file": ds.field(SOURCE, "file")}, filter=of_batch):
            found |= names.intersection(pc.unique(part.column("file")).to_pylist())
        return found

    def _behind(self, number: int, newest: CommitNote) -> CheckpointMismatch:
        return self._mismatch(
            f"the checkpoint of {self.table} is at its batch {number}, with other files than those that batch {number} "
            f"has put on the tape, which has come to batch {newest.batch} of it: the checkpoint is older than the tape"
        )

    def _ahead(self, done: int, newest: CommitNote | None) -> CheckpointMismatch:
        ends = "the tape is empty" if newest is None else f"the tape ends with its batch {newest.batch}"
        return self._mismatch(
            f"the checkpoint of {self.table} has done batch {done}, but {ends}: the lake is older than the checkpoint, "
            "and files that it takes for read are not on the tape"
        )

    def _foreign(self, newest: CommitNote, there: Collection[str]) -> CheckpointMismatch:
        wrote = "one that was not written down" if newest.checkpoint is None else newest.checkpoint
        said = f"the checkpoint of {self.table} is {self.checkpoint.id()}, but the tape was written from {wrote}"
        if there:
            names = ", ".join(sorted(there)[:_NAMED]) + (", ..." if len(there) > _NAMED else "")
            said += f"; {len(there)} files in {str(self.landing)!r} are on the tape already: {names}"
        return self._mismatch(said)

    def _mismatch(self, said: str) -> CheckpointMismatch:
        return CheckpointMismatch(
            said,
            hint="Stop the stream, and put back the lake and its checkpoint of one and the same moment. Where you have "
            f"none, move every file that is on the tape (the distinct _source.file of {str(self.folder)!r}) out of "
            f"{str(self.landing)!r}, bring back into it from {ARCHIVE!r} what is not on the tape, remove "
            f"{str(self.checkpoint.path)!r}, and start again: what then lies in the folder is read, once.",
        )


def digest(paths: Iterable[str]) -> str:
    """Return what stands in a note for the files that a batch brought."""
    return hashlib.sha256("\n".join(sorted(paths)).encode(errors="surrogateescape")).hexdigest()[:32]


def _is_listed(path: Path) -> bool:
    """Return whether Spark's stream sees a file below its folder: nothing on the way to it is hidden."""
    return not any(part.startswith((".", "_")) for part in path.parts)


def _set_aside(rejects: Path, number: int) -> set[str]:
    """Return the names of the files that a batch set aside."""
    try:
        rows = DeltaTable(rejects).to_pyarrow_dataset()
    except TableNotFoundError:
        return set()
    return set(rows.to_table(columns=["file"], filter=ds.field("batch") == number).column("file").to_pylist())
