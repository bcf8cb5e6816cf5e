"""A streaming query's checkpoint folder: its offset log read, and the leftovers of a kill cleaned."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappa_assets.errors import LakeError
from kappa_assets.log.note import Offset
from kappa_assets.place.local import durable


@dataclass(frozen=True)
class Checkpoint:
    """The folder of one query's checkpoint. It holds offsets only: all state is in the tables."""

    path: Path

    def clean_leftovers(self) -> list[Path]:
        """Remove what a kill during a write left, and return it. Only under the host's lock.

        Spark refuses to start on a checkpoint whose offset log holds only `.0.<uuid>.tmp`: "should be empty on
        batch 0". A temporary file was never renamed into place, so nothing was decided by it. An offset or commit file
        that a full disk left empty says nothing either, when it is the newest of its log.
        """
        removed = []
        for log in ("offsets", "commits", "sources/0"):
            folder = self.path / log
            if not folder.is_dir():
                continue
            stale = [p for p in folder.iterdir() if p.name.startswith(".") and ".tmp" in p.name]
            newest = max((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name), default=None)
            if newest is not None and newest.stat().st_size == 0:
                stale += [newest, folder / f".{newest.name}.crc"]
            for leftover in stale:
                leftover.unlink(missing_ok=True)
                removed.append(leftover)
        return removed

    def id(self) -> str:
        """Return the id that Spark gave the checkpoint when it made it. Raises LakeError when it is not there."""
        try:
            return str(json.loads((self.path / "metadata").read_text())["id"])
        except (OSError, ValueError, KeyError) as error:
            raise LakeError(
                f"the checkpoint {str(self.path)!r} does not say its id: {error}",
                hint="Spark writes it before the first batch; put back the file 'metadata' of this checkpoint.",
            ) from error

    def newest_done(self) -> int | None:
        """Return the newest batch that Spark has logged as done; None before the first."""
        return self._newest("commits")

    def newest_begun(self) -> int | None:
        """Return the newest batch whose offsets Spark has logged, done or not; None before the first."""
        return self._newest("offsets")

    def logged_files(self) -> list[tuple[str, int]]:
        """Return the files that the one file source has seen, and the number of its log's entry that has each."""
        folder = self.path / "sources" / "0"
        found: list[tuple[str, int]] = []
        logs = sorted(folder.iterdir(), key=lambda p: p.name) if folder.is_dir() else []
        logs = [p for p in logs if p.name.partition(".")[0].isdigit()]
        compact = max((int(p.stem) for p in logs if p.suffix == ".compact"), default=-1)
        for path in logs:
            number = int(path.name.partition(".")[0])
            if number > compact or (number == compact and path.suffix == ".compact"):
                entries = (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[1:] if line)
                found += [(entry["path"], entry["batchId"]) for entry in entries]
        return found

    def files_done(self) -> int:
        """Return the number of the newest entry in the log of the one file source that a done batch took; -1 for none.

        An offset that is not there any more was logged long before those that are.
        """
        done = self.newest_done()
        offset = None if done is None else self.offset(done)
        return -1 if offset is None else int(offset["logOffset"])

    def retire(self) -> Path:
        """Put the folder aside in one step, for a checkpoint that begins anew; return where it lies now."""
        aside = self.path.with_name(f"{self.path.name}.retired")
        if aside.exists():
            shutil.rmtree(aside)
        self.path.rename(aside)
        return aside

    def sync(self, batch: int) -> None:
        """See to it that what a micro-batch consists of outlives a loss of power, before its rows are committed.

        Else Spark would choose anew for a number that is in the table already, and what it chose would never be read.
        """
        entries = [self.path / log / str(batch) for log in ("offsets", "sources/0")]
        begun = self.path / ("metadata" if batch == 0 else f"commits/{batch - 1}")
        durable.sync([*entries, begun], self.path)

    def delta_range(self, batch: int) -> tuple[Offset | None, Offset]:
        """Return how far the one Delta source had read before micro-batch `batch`, and after it.

        Inside `foreachBatch` the file of the batch is there. Raises LakeError when it is not.
        """
        until = self._delta_offset(batch)
        if until is None:
            raise LakeError(
                f"the checkpoint {str(self.path)!r} has no offsets of batch {batch}",
                hint="It was changed while its query ran; replay the table to get a new one.",
            )
        return (self._delta_offset(batch - 1) if batch > 0 else None), until

    def newest_offset(self) -> Offset | None:
        """Return how far the one Delta source has been told to read; None before its first micro-batch."""
        begun = self.newest_begun()
        return None if begun is None else self._delta_offset(begun)

    def _delta_offset(self, batch: int) -> Offset | None:
        body = self.offset(batch)
        return None if body is None else Offset(body["reservoirVersion"], body["index"], body["isStartingVersion"])

    def offset(self, batch: int) -> dict[str, Any] | None:
        """Return what is logged of the one source of a batch, as JSON; None when the batch has no entry."""
        try:
            lines = (self.path / "offsets" / str(batch)).read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return None
        body: dict[str, Any] = json.loads(lines[2])
        return body

    def _newest(self, log: str) -> int | None:
        """Return the newest batch that one of Spark's logs has an entry of; None where it has none."""
        folder = self.path / log
        batches = (int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else ()
        return max(batches, default=None)
