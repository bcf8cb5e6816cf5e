"""The ledger of a tape: which deliveries are on it, or were set aside, looked up by name in a file beside the lake's.

The tape is the truth. The ledger is made from it: from the notes of its commits, from its rows where the log was
cleaned, and from its files set aside. Lost, or of another day than the tape, it is made again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from kappa_assets.errors import LakeError
from kappa_assets.log.delta_log import commits, newest_of_tape
from kappa_assets.log.note import LANDED, CommitNote
from kappa_assets.place.local.log_files import latest_version, log_file
from kappa_assets.sources.ledger.told import rows_tell, set_aside_tell
from kappa_assets.sources.standings import ANY, Mine, mine, named_in, unnamed

_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    file TEXT, modified_ms INTEGER, bytes INTEGER, hash TEXT, set_aside INTEGER NOT NULL, batch INTEGER,
    PRIMARY KEY (file, modified_ms, bytes)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS synced (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER, said TEXT, rejects INTEGER)
"""
_ADD = """
INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (file, modified_ms, bytes)
DO UPDATE SET hash = coalesce(excluded.hash, hash), set_aside = min(set_aside, excluded.set_aside),
    batch = coalesce(batch, excluded.batch)
"""
_ALL = "SELECT file, nullif(bytes, -1), modified_ms, hash, set_aside, batch FROM deliveries"
_FIND = f"{_ALL} WHERE file IN"
_NEWEST = f"{_ALL} WHERE file GLOB ? ORDER BY batch IS NULL, batch DESC, modified_ms DESC, file LIMIT ?"
_UNLIKE = """
SELECT number FROM asked WHERE NOT EXISTS (SELECT 1 FROM deliveries AS d
WHERE d.file = asked.file AND d.modified_ms = asked.modified_ms AND d.bytes = asked.bytes)
"""
_AT_ONCE = 500
_HASH_DIGITS = 32


class Delivery(NamedTuple):
    """The content of one file, as it lay there when it was looked at."""

    file: str
    """Its path below the landing folder."""
    bytes: int
    modified_ms: int
    hash: str | None = None
    """The first half of the SHA-256 of its bytes; None where that was not written down."""

    def is_as(self, stat: os.stat_result) -> bool:
        """Return whether a file has the size and the time of this delivery."""
        return (stat.st_size, stat.st_mtime_ns // 1_000_000) == (self.bytes, self.modified_ms)


class Known(NamedTuple):
    """A delivery that the ledger holds. One without a size was set aside by an earlier version, at `modified_ms`."""

    bytes: int | None
    modified_ms: int
    hash: str | None
    set_aside: int
    batch: int | None = None
    """The batch of the tape that has its rows; None for one set aside, or of which only a time is noted."""


class Ledger:
    """The deliveries of one tape. Threads may share it; only the host, and what holds its lock, writes."""

    def __init__(self, path: Path, tape: Path, rejects: Path, label: str | None = None) -> None:
        """`tape`, `rejects`: the folders of the tape and of its files set aside.

        `label`: whose deliveries it holds, of a tape with several sources; it is part of the file's name then.
        """
        name = path.name if label is None else f"{path.stem}.{quote(label, safe='')}{path.suffix}"
        self.path, self._tape, self._rejects, self._label = path.with_name(name), tape, rejects, label
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: int | None = None
        self.life = 0
        """Grows when the ledger is made anew: what was looked up before holds no longer."""

    def sync(self) -> None:
        """Take in what was committed to the tape, or set aside, since the last time.

        A file that is no ledger, or a damaged one, is thrown away, and made again.
        """
        with self._disk():
            try:
                self._sync()
            except sqlite3.OperationalError:  # a full disk, a lock: no fault of the file
                raise
            except sqlite3.DatabaseError:
                self._throw_away()
                self._sync()

    def _sync(self) -> None:
        with self._writing() as db:
            seen = db.execute("SELECT version, said, rejects FROM synced").fetchone()
            version, said, rejects = seen or (None, None, -1)
            if version is None or not self._goes_on(version, said):
                version, rejects = self._made_anew(db), -1
            else:
                for commit in commits(self._tape, after=version):
                    version = commit.version
                    _take(db, commit.note, mine(self._label, None))
            newest = latest_version(self._rejects)
            if newest is not None and newest != rejects:
                db.executemany(_ADD, set_aside_tell(self._rejects, self._is_mine()))
            db.execute(
                "INSERT OR REPLACE INTO synced VALUES (1, ?, ?, ?)",
                (version, _digest(log_file(self._tape, version)), -1 if newest is None else newest),
            )

    def find(self, files: Sequence[str]) -> dict[str, list[Known]]:
        """Return all that is known of each of these files; one of which nothing is known is left out."""
        found: dict[str, list[Known]] = {}
        with self._turn, self._disk():
            for start in range(0, len(files), _AT_ONCE):
                part = files[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                for file, *known in self._open().execute(f"{_FIND} ({marks})", part):
                    found.setdefault(file, []).append(Known(*known))
        return found

    def unlike(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Return those whose time and size are not known; of few, all. To `find` 100,000 takes three times as long."""
        if len(deliveries) <= _AT_ONCE:
            return deliveries
        with self._disk(), self._writing() as db:
            db.execute("CREATE TEMP TABLE asked (number INTEGER, file TEXT, modified_ms INTEGER, bytes INTEGER)")
            rows = ((n, one.file, one.modified_ms, one.bytes) for n, one in enumerate(deliveries))
            db.executemany("INSERT INTO asked VALUES (?, ?, ?, ?)", rows)
            found = [deliveries[number] for (number,) in db.execute(_UNLIKE)]
            db.execute("DROP TABLE asked")
        return found

    def newest(self, pattern: str, most: int) -> list[tuple[str, Known]]:
        """Return the files whose paths fit a pattern, and what is known of each: the newest on the tape first."""
        with self._turn, self._disk():
            return [(file, Known(*known)) for file, *known in self._open().execute(_NEWEST, (pattern, most))]

    def start_from(self, other: Path) -> None:
        """Take over what another ledger holds, to bring that up to date without writing to it."""
        copied = f"{other.absolute().as_uri()}?mode=ro"
        with self._turn, self._disk(), closing(sqlite3.connect(copied, uri=True)) as given:
            given.backup(self._open())

    def note(self, deliveries: Iterable[Delivery], *, set_aside: bool = False) -> None:
        """Note what need not be read: a known delivery whose bytes have another time now."""
        with self._disk(), self._writing() as db:
            db.executemany(_ADD, ((*_row(one), set_aside, None) for one in deliveries))

    def _goes_on(self, version: int, said: str | None) -> bool:
        """Return whether the tape's log still holds what was taken in of it, as far as it tells."""
        path = log_file(self._tape, version)
        if version < 0:
            return log_file(self._tape, 0).exists() or latest_version(self._tape) is None
        if path.exists():
            return _digest(path) == said
        return log_file(self._tape, version + 1).exists()

    def _made_anew(self, db: sqlite3.Connection) -> int:
        """Fill the ledger from the tape, and return the tape's version. Hashes outlive the notes that held them."""
        self.life += 1
        db.execute("CREATE TEMP TABLE before AS SELECT * FROM deliveries WHERE hash IS NOT NULL")
        db.execute("DELETE FROM deliveries")
        version = -1
        if (newest := latest_version(self._tape)) is not None:
            version = newest
            is_mine = self._is_mine()
            db.executemany(_ADD, rows_tell(self._tape, is_mine))
            for commit in commits(self._tape, upto=newest):
                _take(db, commit.note, is_mine)
        db.execute(
            "UPDATE deliveries SET hash = before.hash FROM before WHERE deliveries.hash IS NULL AND "
            "before.file = deliveries.file AND before.modified_ms = deliveries.modified_ms "
            "AND before.bytes = deliveries.bytes"
        )
        db.execute("DROP TABLE before")
        return version

    def _is_mine(self) -> Mine:
        """Return which rows, files and notes are of this ledger's source; those before there were several name none."""
        if self._label is None:
            return ANY
        return mine(self._label, unnamed(newest_of_tape(self._tape)))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give the database for one transaction."""
        with self._turn:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has rolled it back by itself, or has kept a COMMIT from ending it
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Raise LakeError for what is the fault of the disk: then the batch is tried until that is mended."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise LakeError(
                f"the ledger {str(self.path)!r} cannot be read or written: {error}",
                hint="Check that the disk is there, writable and not full. Deleted, it is made again from the tape.",
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and _identity(self.path) != self._opened:
            self.close()  # the lake was put back, or thrown away
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=30.0)
            # Whole after a loss of power, and no commit waits for the disk: the newest may be taken in again.
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            for statement in _TABLES.split(";"):
                db.execute(statement)
            self._connection, self._opened = db, _identity(self.path)
        return self._connection

    def _throw_away(self) -> None:
        with self._turn:
            self.close()
            for ending in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the next question opens it again."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def hash_of(path: str | Path) -> str:
    """Return what stands in the ledger for the bytes of a file. Raises OSError."""
    with open(path, "rb") as stream:  # noqa: PTH123 -- a Path for each file costs more than a small file's hash
        return hashlib.file_digest(stream, "sha256").hexdigest()[:_HASH_DIGITS]


def _take(db: sqlite3.Connection, note: CommitNote | None, is_mine: Mine) -> None:
    if note is None or note.tape_batch is None:
        return
    # Before there were several sources, all that came was that of the one, also where it was called otherwise then.
    if is_mine(named_in(note)):
        landed = (Delivery(*found) for found in note.source.get(LANDED, ()))
        db.executemany(_ADD, ((*_row(one), 0, note.tape_batch) for one in landed))


def _row(one: Delivery) -> tuple[str, int, int, str | None]:
    return one.file, one.modified_ms, one.bytes, one.hash


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
