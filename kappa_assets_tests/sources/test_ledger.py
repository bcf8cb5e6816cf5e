"""The ledger is made from the tape, and goes with it: grown, put back from another day, written by version 0.1."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from kappa_assets.errors import LakeError
from kappa_assets.log.note import LANDED, CommitNote
from kappa_assets.sources.ledger.ledger import Delivery, Known, Ledger

LONG_AGO = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
MS = int(LONG_AGO.timestamp() * 1000)
_SOURCE = pa.struct([("file", pa.string()), ("bytes", pa.int64()), ("modified_at", pa.timestamp("us", tz="UTC"))])
_ROWS = pa.schema([("_source", _SOURCE), ("_batch_id", pa.int64())])


class Tape:
    """A tape written by hand: rows, and notes that tell of files or do not."""

    def __init__(self, root: Path) -> None:
        self.folder, self.rejects = root / "tape", root / "rejects"
        self.batches = 0
        self.ledger = self.another(root / "ledger.sqlite")

    def another(self, path: Path) -> Ledger:
        return Ledger(path, self.folder, self.rejects)

    def write(self, *files: str, digest: str | None = "h", noted: bool = True, rows: int = 2) -> None:
        source = [{"file": file, "bytes": 5, "modified_at": LONG_AGO} for file in files for _ in range(rows)]
        landed = [[file, 5, MS] if digest is None else [file, 5, MS, digest] for file in files]
        note = CommitNote("bronze.a", 1, 0, "", tape_batch=self.batches, source={LANDED: landed} if noted else {})
        write_deltalake(
            self.folder,
            pa.table({"_source": pa.array(source, _SOURCE), "_batch_id": [self.batches] * len(source)}, _ROWS),
            mode="append",
            commit_properties=CommitProperties(custom_metadata={"userMetadata": note.to_json()}),
        )
        self.batches += 1

    def aside(self, **row: object) -> None:
        given = {"reason": "", "batch": 0, "at": LONG_AGO, "retried_as": None} | row
        schema = pa.schema([("retried_as", pa.string())])
        fields = [
            schema.field(0) if name == "retried_as" else pa.field(name, pa.array([v]).type) for name, v in given.items()
        ]
        write_deltalake(
            self.rejects, pa.Table.from_pylist([given], pa.schema(fields)), mode="append", schema_mode="merge"
        )

    def known(self, *files: str, ledger: Ledger | None = None) -> dict[str, list[Known]]:
        ledger = ledger or self.ledger
        ledger.sync()
        return ledger.find(files)


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def test_what_is_on_the_tape_is_known_and_what_comes_is_added(tape: Tape) -> None:
    assert tape.known("a") == {}
    tape.write("a", "b")
    assert tape.known("a", "b", "c") == {name: [Known(5, MS, "h", 0, 0)] for name in "ab"}
    tape.write("c", rows=0)
    assert set(tape.known("a", "b", "c")) == {"a", "b", "c"}
    assert tape.ledger.life == 1, "made once, and then only added to"


def test_a_lost_ledger_is_made_from_rows_where_no_note_tells(tape: Tape, tmp_path: Path) -> None:
    tape.write("of no note", noted=False)
    tape.write("without a hash", digest=None)
    tape.write("with one")
    assert tape.known("of no note", "without a hash", "with one", ledger=tape.another(tmp_path / "new.sqlite")) == {
        "of no note": [Known(5, MS, None, 0, 0)],
        "without a hash": [Known(5, MS, None, 0, 1)],
        "with one": [Known(5, MS, "h", 0, 2)],
    }


def test_a_tape_put_back_from_yesterday_takes_what_came_since_out_of_the_ledger(tape: Tape, tmp_path: Path) -> None:
    tape.write("a")
    shutil.copytree(tape.folder, tmp_path / "yesterday")
    tape.write("b")
    assert set(tape.known("a", "b")) == {"a", "b"}
    shutil.rmtree(tape.folder)
    assert tape.known("a", "b") == {}
    shutil.copytree(tmp_path / "yesterday", tape.folder)
    assert set(tape.known("a", "b")) == {"a"}
    tape.write("c")
    assert set(tape.known("a", "b", "c")) == {"a", "c"}
    shutil.rmtree(tape.folder)
    shutil.copytree(tmp_path / "yesterday", tape.folder)
    tape.write("d")
    assert set(tape.known("a", "b", "c", "d")) == {"a", "d"}, "of the same version as before, and another commit"


def test_a_log_that_was_cleaned_costs_a_look_at_the_rows_and_no_hash(tape: Tape) -> None:
    for name in "abc":
        tape.write(name)
    tape.known("a")
    for name in "def":
        tape.write(name)
    DeltaTable(tape.folder).create_checkpoint()
    for version in range(5):
        (tape.folder / "_delta_log" / f"{version:020d}.json").unlink()
    found = tape.known(*"abcdef")
    assert {name: known[0].hash for name, known in found.items()} == {
        "a": "h", "b": "h", "c": "h", "d": None, "e": None, "f": "h",
    }  # fmt: skip


def test_files_set_aside_are_known_with_what_was_written_down_of_them(tape: Tape) -> None:
    tape.aside(file="old")
    tape.aside(file="old", retried_as="old.retry-1")
    assert tape.known("old", "new") == {"old": [Known(None, MS, None, 1)]}
    tape.aside(file="new", bytes=7, modified_ms=MS, hash="x")
    tape.write("new")
    assert tape.known("old", "new") == {
        "old": [Known(None, MS, None, 1)],
        "new": [Known(5, MS, "h", 0, 0), Known(7, MS, "x", 1)],
    }


def test_a_ledger_that_is_gone_or_damaged_is_made_anew(tape: Tape, tmp_path: Path) -> None:
    """Gone or replaced under an open one; no database at all; and torn in the middle."""
    path = tmp_path / "ledger.sqlite"
    tape.write(*(f"file {number:04}" for number in range(500)), rows=1)
    assert len(tape.known("file 0000", "file 0499")) == 2
    path.unlink()
    assert len(tape.known("file 0000", "file 0499")) == 2
    tape.ledger.close()
    whole = path.read_bytes()
    for content in (b"no database" * 100, whole[: len(whole) // 2], b"", whole[:4096] + b"x" * (len(whole) - 4096)):
        path.write_bytes(content)
        ledger = tape.another(path)
        assert len(tape.known("file 0000", "file 0499", ledger=ledger)) == 2
        ledger.close()


def test_a_full_disk_is_the_disks_fault_and_the_ledger_goes_on_when_there_is_room(tape: Tape) -> None:
    tape.write("a")
    assert tape.known("a")
    database = tape.ledger._open()
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    tape.write(*(f"file-{n}" for n in range(500)), rows=0)
    for _ in range(2):
        with pytest.raises(LakeError, match=r"the ledger .* cannot be read or written: database or disk is full"):
            tape.ledger.sync()
    database.execute(f"PRAGMA max_page_count = {1 << 20}")
    assert len(tape.known("a", *(f"file-{n}" for n in range(500)))) == 501


def test_of_many_files_those_that_are_other_than_known_are_told(tape: Tape) -> None:
    tape.write(*(f"file-{n}" for n in range(900)), rows=0)
    tape.ledger.sync()
    lying = [Delivery(f"file-{n}", 5 + (n == 7), MS + (n == 600)) for n in range(1000)]
    other = {"file-7", "file-600", *(f"file-{n}" for n in range(900, 1000))}
    for _ in range(2):
        assert {one.file for one in tape.ledger.unlike(lying)} == other
    assert tape.ledger.unlike(lying[:3]) == lying[:3], "of few, all are looked up"
