"""The files that a tape has taken from one landing folder, and those set aside, for people to look at."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.ledger.ledger import Ledger


def listed_files(
    lake: Lake, bronze: TableName, pattern: str, most: int, label: str | None = None
) -> list[dict[str, object]]:
    """Return the newest files whose paths fit a pattern, as `kappa deliveries` shows them.

    Nothing is written to the lake: the ledger is copied, and brought up to date aside. `label`: of a tape with several
    sources, the one that is meant.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given = Ledger(lake.ledger(bronze), lake.folder(bronze), lake.rejects(bronze), label)
        ledger = Ledger(Path(scratch, "ledger.sqlite"), lake.folder(bronze), lake.rejects(bronze), label)
        with suppress(sqlite3.DatabaseError):  # none yet, or a damaged one: all is asked of the tape
            ledger.start_from(given.path)
        ledger.sync()
        found = ledger.newest(pattern, most)
        ledger.close()
    return [
        {
            "file": file,
            "state": "set aside" if known.set_aside else "on the tape",
            "batch": known.batch,
            "bytes": known.bytes,
            "modified": dt.datetime.fromtimestamp(known.modified_ms / 1000, dt.UTC),
            "hash": known.hash,
        }
        for file, known in found
    ]
