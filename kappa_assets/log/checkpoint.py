"""A streaming query's checkpoint: its offset log read, and the leftovers of a kill cleaned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kappa_assets.errors import LakeError
from kappa_assets.log.note import Offset
from kappa_assets.place.local.checkpoint_files import WhereLogged, folder_of_logs, logged

if TYPE_CHECKING:
    from pathlib import Path

    from kappa_assets.place.beside import StoredCheckpoint


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of one query. It holds offsets only: all state is in the tables."""

    where: WhereLogged

    @property
    def files(self) -> StoredCheckpoint:
        """What Spark has written, as the place has it."""
        return logged(self.where)

    @property
    def path(self) -> Path:
        """The folder of a checkpoint in a local lake; what a source keeps of its own lies there too."""
        return folder_of_logs(self.where)

    @property
    def location(self) -> str:
        """Where Spark keeps it."""
        return self.files.location

    def clean_leftovers(self) -> list[str]:
        """Remove what a kill during a write left, and return it. Only under the host's lock.

        Spark refuses to start on a checkpoint whose offset log holds only `.0.<uuid>.tmp`: "should be empty on
        batch 0". A temporary file was never renamed into place, so nothing was decided by it. An offset or commit file
        that a full disk left empty says nothing either, when it is the newest of its log.
        """
        return self.files.clean_leftovers()

    def id(self) -> str:
        """Return the id that Spark gave the checkpoint when it made it. Raises LakeError when it is not there."""
        try:
            return str(json.loads(self.files.metadata())["id"])
        except (OSError, ValueError, KeyError) as error:
            raise LakeError(
                f"the checkpoint {self.location!r} does not say its id: {error}",
                hint="Spark writes it before the first batch; put back the file 'metadata' of this checkpoint.",
            ) from error

    def newest_done(self) -> int | None:
        """Return the newest batch that Spark has logged as done; None before the first."""
        return max(self.files.entries("commits"), default=None)

    def newest_begun(self) -> int | None:
        """Return the newest batch whose offsets Spark has logged, done or not; None before the first."""
        return max(self.files.entries("offsets"), default=None)

    def logged_files(self) -> list[tuple[str, int]]:
        """Return the files that the one file source has seen, and the number of its log's entry that has each."""
        return [(entry["path"], entry["batchId"]) for entry in self.files.file_log()]

    def files_done(self) -> int:
        """Return the number of the newest entry in the log of the one file source that a done batch took; -1 for none.

        An offset that is not there any more was logged long before those that are.
        """
        done = self.newest_done()
        offset = None if done is None else self.offset(done)
        return -1 if offset is None else int(offset["logOffset"])

    def retire(self) -> str:
        """Put all of it aside in one step, for a checkpoint that begins anew; return where it lies now."""
        return self.files.retire()

    def sync(self, batch: int) -> None:
        """See to it that what a micro-batch consists of outlives a loss of power, before its rows are committed.

        Else Spark would choose anew for a number that is in the table already, and what it chose would never be read.
        """
        begun = "metadata" if batch == 0 else f"commits/{batch - 1}"
        self.files.sync([f"offsets/{batch}", f"sources/0/{batch}", begun])

    def delta_range(self, batch: int) -> tuple[Offset | None, Offset]:
        """Return how far the one Delta source had read before micro-batch `batch`, and after it.

        Inside `foreachBatch` the file of the batch is there. Raises LakeError when it is not.
        """
        until = self._delta_offset(batch)
        if until is None:
            raise LakeError(
                f"the checkpoint {self.location!r} has no offsets of batch {batch}",
                hint="It was changed while its query ran; replay the table to get a new one.",
            )
        return (self._delta_offset(batch - 1) if batch > 0 else None), until

    def newest_offset(self) -> Offset | None:
        """Return how far the one Delta source has been told to read; None before its first micro-batch.

        None also of a table of several upstreams, whose one source is of the vectors that are planned for it.
        """
        begun = self.newest_begun()
        return None if begun is None else self._delta_offset(begun)

    def _delta_offset(self, batch: int) -> Offset | None:
        body = self.offset(batch)
        if body is None or "reservoirVersion" not in body:
            return None
        return Offset(body["reservoirVersion"], body["index"], body["isStartingVersion"])

    def offset(self, batch: int) -> dict[str, Any] | None:
        """Return what is logged of the one source of a batch, as JSON; None when the batch has no entry."""
        text = self.files.entry("offsets", batch)
        if text is None:
            return None
        body: dict[str, Any] = json.loads(text.split("\n")[2])
        return body
