"""One tape, many threads and a long life: each commit once, each number once, and only the newest held in memory."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql.types import LongType, StructField, StructType

from kappa_assets.errors import HostRunning, TapeGap
from kappa_assets.health import run_checks
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.log.tape_index import TapeIndex
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import NOTHING
from kappa_assets.place.local.lake import Lake
from kappa_assets.replay.plan import plan_replay
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake
from kappa_assets_tests.place.delta_write.by_hand import add, log_file, write_commit
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, VISITS

INVOICES = TableName.parse("bronze.invoices")
DAY = "2026-01-05"


def note_of(batch: int, version: int, number: int | None = None) -> CommitNote:
    position = {str(INVOICES): Position(batch, version)}
    return CommitNote(str(INVOICES), 1, number or batch, "", tape_batch=batch, rows=3, position=position)


def put(folder: Path, version: int, batch: int | None) -> None:
    """Put a commit into the log as a committer does: whole, by a rename. Without a batch it is somebody else's."""
    note = None if batch is None else note_of(batch, version)
    write_commit(folder.parent / "fresh", version, add(str(version), 3, _arrival_date=DAY), note=note)
    log_file(folder, version).parent.mkdir(parents=True, exist_ok=True)
    log_file(folder.parent / "fresh", version).rename(log_file(folder, version))


def together(*jobs: Callable[[], None]) -> None:
    """Run jobs in a thread each, and raise what one of them raised."""
    failed: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 -- handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@pytest.fixture
def lake(lake_path: Path) -> Lake:
    return Lake.at(lake_path)


def test_threads_that_look_at_once_find_each_commit_once_and_the_newest_at_once(lake: Lake) -> None:
    tape, folder, ended = Tape(lake, INVOICES), lake.folder(INVOICES), threading.Event()
    heads: list[int] = []

    def write() -> None:
        for version in range(400):
            heads.append(tape.head().batch)
            put(folder, version, version)
        ended.set()

    def read() -> None:  # as each Silver does of the commit it has read
        while not ended.is_set():
            reached = tape.head()
            assert tape.position_at(reached.version) == reached

    together(write, read, read, tape.sync)
    tape.sync()
    assert heads == list(range(-1, 399))
    assert [c.batch for c in tape.commits()] == list(range(400))
    assert TapeIndex(lake.tape_index(INVOICES)).last() == Position(399, 399)
    assert DeltaTable(lake.tape_index(INVOICES)).to_pyarrow_table().num_rows == 400


def test_threads_that_write_the_index_at_once_write_each_line_once(lake: Lake) -> None:
    for version in range(30):
        put(lake.folder(INVOICES), version, version)
    one, two = Tape(lake, INVOICES), Tape(lake, INVOICES)
    together(one.sync, one.sync, two.sync)
    assert sorted(DeltaTable(lake.tape_index(INVOICES)).to_pyarrow_table()["batch"].to_pylist()) == list(range(30))


@pytest.mark.parametrize("shared", [True, False], ids=["one host", "two hosts"])
def test_of_two_that_write_a_tape_at_once_each_batch_has_a_number_of_its_own(lake: Lake, shared: bool) -> None:  # noqa: FBT001
    one = Tape(lake, INVOICES)
    DeltaWriter(str(INVOICES), lake.folder(INVOICES)).prepare(StructType([StructField("n", LongType())]))
    refused: list[str] = []

    def write(who: str, tape: Tape) -> None:
        writer, number = DeltaWriter(str(INVOICES), lake.folder(INVOICES)), 0
        while number < 12:
            try:
                with tape.next_batch() as batch:

                    def noted(batch: int = batch, number: int = number) -> str:
                        tape.check_is_next(batch)
                        return note_of(batch, writer.version() + 1, number).to_json()

                    assert writer.commit(NOTHING, Once(who, number), noted) is not None
                number += 1
            except (TapeGap, HostRunning):  # the batch is tried again, with a number of its own
                refused.append(who)

    together(lambda: write("a", one), lambda: write("b", one if shared else Tape(lake, INVOICES)))
    found = Tape(lake, INVOICES).commits()
    assert [c.batch for c in found] == list(range(24))
    assert not (shared and refused), "threads of one host wait for each other instead"


def test_a_batch_that_does_not_follow_the_tape_is_refused_at_its_commit(lake: Lake) -> None:
    tape = Tape(lake, INVOICES)
    put(lake.folder(INVOICES), 0, 0)
    with tape.next_batch() as batch:
        put(lake.folder(INVOICES), 1, 1)
        with pytest.raises(TapeGap, match=r"brings batch 1, but the tape ends with batch 1, version 1\nHint: Somebody"):
            tape.check_is_next(batch)


@pytest.mark.parametrize("batch", [1, 3, 0])
def test_an_index_refuses_what_does_not_follow_its_last_line(lake: Lake, batch: int) -> None:
    for version in range(2):
        put(lake.folder(INVOICES), version, version)
    tape = Tape(lake, INVOICES)
    tape.sync()
    put(lake.folder(INVOICES), 2, batch)
    with pytest.raises(TapeGap, match=rf"batch {batch} of bronze.invoices, written by version 2, follows batch 1"):
        tape.sync()
    assert DeltaTable(lake.tape_index(INVOICES)).to_pyarrow_table().num_rows == 2


def test_an_index_with_doubled_lines_is_read_as_if_it_had_none_and_mended(tmp_path: Path) -> None:
    hand = HandLake(tmp_path / "lake")
    for _ in range(4):
        hand.land(MONDAY)
    hand.read()
    Tape(hand.lake, CLICKS).sync()
    index, before = hand.lake.tape_index(CLICKS), Tape(hand.lake, CLICKS).commits()
    lines = DeltaTable(index).to_pyarrow_table()
    for twice in (lines.slice(1, 1), lines.slice(2, 2)):
        write_deltalake(index, twice, mode="append")

    def health() -> bool:
        return next(o.passed for o in run_checks(hand.lake, PIPELINE) if o.check == "tape_continuous")

    assert Tape(hand.lake, CLICKS).commits() == before
    assert plan_replay(hand.lake, PIPELINE, [VISITS]).steps[0].tape_rows == 12
    assert health()
    together(Tape(hand.lake, CLICKS).sync, Tape(hand.lake, CLICKS).sync)
    assert DeltaTable(index).to_pyarrow_table().sort_by("batch") == lines.sort_by("batch")
    hand.land(MONDAY)
    Tape(hand.lake, CLICKS).sync()
    assert [c.batch for c in Tape(hand.lake, CLICKS).commits()] == [0, 1, 2, 3, 4]
    assert health()


LONG = 5_000


@pytest.fixture(params=["one file", "a file per hundred"])
def old(lake: Lake, request: pytest.FixtureRequest) -> Lake:
    """A lake whose tape has had 5,000 batches, every tenth version somebody else's; its log holds the last few."""
    at = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    lines = pa.Table.from_pylist(
        [{"batch": b, "version": b + b // 9, "at": at, "rows": 3, "slices": json.dumps({DAY: 3})} for b in range(LONG)]
    )
    size = LONG if request.param == "one file" else 100
    for start in range(0, LONG, size):
        write_deltalake(lake.tape_index(INVOICES), lines.slice(start, size), mode="append")
    first = (LONG - 1) + (LONG - 1) // 9
    for ahead in range(6):
        put(lake.folder(INVOICES), first + ahead, LONG - 1 + ahead)
    return lake


def test_what_a_stream_asks_of_an_old_tape_reads_and_holds_its_newest_part_only(
    old: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(index: TapeIndex, *args: Any, **kwargs: Any) -> Any:
        found = whole(index, *args, **kwargs)
        read.append(len(found))
        return found

    whole = TapeIndex.read
    monkeypatch.setattr(TapeIndex, "read", counted)
    tape = Tape(old, INVOICES)
    newest = tape.head()
    assert newest.batch == LONG + 4
    for version in range(newest.version - 100, newest.version + 1):
        assert tape.position_at(version).version <= version
    assert tape.commits(newest.batch - 100)[0].batch == newest.batch - 100
    for ahead in range(1, 1_001):
        put(old.folder(INVOICES), newest.version + ahead, newest.batch + ahead)
        assert tape.head().batch == newest.batch + ahead
    assert len(read) == 1
    assert sum(read) <= 300
    assert len(vars(tape)["_held"]) <= 600
    read.clear()
    assert tape.position_at(1_000) == Position(900, 1_000)
    assert sum(read) <= 64, "one batch long ago is found without the rest"


def test_all_of_an_old_tape_is_still_there_for_who_asks(old: Lake) -> None:
    tape = Tape(old, INVOICES)
    head = tape.head()
    for ahead in range(1, 1_001):  # now the oldest that only the log knows are not held any more
        put(old.folder(INVOICES), head.version + ahead, head.batch + ahead)
        tape.head()
    assert [c.batch for c in tape.commits()] == list(range(LONG + 1_005))
    assert [c.batch for c in tape.commits(4_990, 5_010)] == list(range(4_990, 5_011))
    assert [c.batch for c in tape.commits(after=head.version)] == list(range(head.batch + 1, head.batch + 1_001))
    for batch in (0, 1, 8, 9, 10, 899, 900, 4_999):
        version = batch + batch // 9
        assert tape.position_at(version) == Position(batch, version)
        before = Position(batch - 1, batch - 1 + (batch - 1) // 9) if batch else BEFORE_THE_TAPE
        assert tape.position_before(version) == before
    assert tape.position_at(9) == Position(8, 8), "version 9 is somebody else's"
    assert tape.bounded(tape.head(), 7) == Position(7, 7)
    tape.sync()
    assert DeltaTable(old.tape_index(INVOICES)).to_pyarrow_table().num_rows == LONG + 1_005
