"""A feed into the landing folder: a file of invoice lines and one of changes for each batch."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from kappa_assets.errors import SourceError
from kappa_assets.feed.events import INVOICES, STREAMS, Event
from kappa_assets.feed.feed import Answer
from kappa_assets.feed.journal import Entry, sync_folder

_ENDING = {stream: "csv" if stream == INVOICES else "json" for stream in STREAMS}


class Folders:
    """Writes files under hidden names before the journal knows of them, and renames them once it does."""

    every = 1.0

    def __init__(self, landing: Path) -> None:
        self._landing = landing

    def prepare(self, invoices: tuple[int, int], events: Sequence[Event]) -> str:
        """Write the files of a batch, hidden, and return the name that they are to have."""
        try:
            for stream in STREAMS:
                mine = [event for event in events if event.stream == stream]
                hidden = self._hidden(stream, invoices)
                hidden.parent.mkdir(parents=True, exist_ok=True)
                hidden.unlink(missing_ok=True)  # of a try that no journal knows of
                if mine:
                    _write(hidden, _csv(mine) if stream == INVOICES else "".join(f"{one.json}\n" for one in mine))
        except OSError as error:
            raise self._refused(error) from error
        return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H%M%S}-{invoices[1]:09d}"

    def send(self, entry: Entry, events: Sequence[Event]) -> Answer:
        """Show the files of a batch: renamed, each once."""
        del events
        return self.settle(entry)

    def settle(self, entry: Entry) -> Answer:
        """Show what of a batch is still hidden. A file that is not has been shown, whatever became of it then."""
        try:
            for stream in STREAMS:
                hidden = self._hidden(stream, entry.invoices)
                if hidden.exists():
                    hidden.replace(hidden.with_name(f"{entry.name}.{_ENDING[stream]}"))
                    sync_folder(hidden.parent)
        except OSError as error:
            raise self._refused(error) from error
        return Answer(everything=True)

    def _hidden(self, stream: str, invoices: tuple[int, int]) -> Path:
        return self._landing / stream / f".feed-{invoices[0]:09d}.part"

    def _refused(self, error: OSError) -> SourceError:
        return SourceError(
            f"the feed cannot write to {str(self._landing)!r}: {error.strerror or error}",
            hint="Make that folder writable and free space on its disk, or name another landing folder.",
        )


def _csv(events: Iterable[Event]) -> str:
    lines = [event.content for event in events]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _write(path: Path, content: str) -> None:
    with path.open("wb") as file:
        file.write(content.encode())
        file.flush()
        os.fsync(file.fileno())
