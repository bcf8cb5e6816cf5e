"""Offsets turned into positions: by the rules, and against what Delta's own stream writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.errors import TapeGap
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, InputRange, Offset, Position
from kappa_assets.log.positions import (
    check_tiles,
    exact_version,
    input_range,
    landed,
    may_hold_deletes,
    position_of_bronze_version,
    positions_of_version,
    wholly_read,
)
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.place.delta_write.by_hand import add, append_to_tape, cdc, remove, write_commit

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Version 0: three files; 1: two change files beside one file; 2: OPTIMIZE; 3: nothing at all."""
    write_commit(tmp_path / "t", 0, add("a"), add("b"), add("c"))
    write_commit(tmp_path / "t", 1, remove("a"), add("d"), cdc("x"), cdc("y"))
    write_commit(tmp_path / "t", 2, remove("b", data_change=False), add("e", data_change=False))
    write_commit(tmp_path / "t", 3)
    return tmp_path / "t"


@pytest.mark.parametrize(
    ("offset", "version"),
    [
        (Offset(2, 5, True), -1),  # in the first snapshot: not a whole version is in
        (Offset(0, -1, False), -1),
        (Offset(3, -1, False), 2),  # everything before 3
        (Offset(0, 0, False), -1),  # one of three files
        (Offset(0, 1, False), -1),
        (Offset(0, 2, False), 0),  # the last of three
        (Offset(1, 0, False), 0),  # one of two change files
        (Offset(1, 1, False), 1),
        (Offset(2, 0, False), 2),  # a version without data is passed at once
    ],
)
def test_a_version_is_wholly_read_with_its_last_file(table: Path, offset: Offset, version: int) -> None:
    assert wholly_read(table, offset) == version
    assert input_range(table, 4, None, offset) == InputRange(4, None, offset, version)


@pytest.fixture
def repaired(tmp_path: Path) -> Path:
    """Versions 1 and 4 add two files each, 2 takes one away and adds one, 3 is an OPTIMIZE."""
    write_commit(tmp_path / "s", 0)
    write_commit(tmp_path / "s", 1, add("a"), add("b"))
    write_commit(tmp_path / "s", 2, remove("a"), add("c"))
    write_commit(tmp_path / "s", 3, remove("b", data_change=False), add("d", data_change=False))
    write_commit(tmp_path / "s", 4, add("e"), add("f"))
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("since", "until", "rows"),
    [
        (None, Offset(2, -1, False), None),  # a first snapshot
        (Offset(1, 0, True), Offset(2, -1, False), None),
        (Offset(1, -1, False), Offset(2, -1, False), 10),  # two files of four and six rows
        (Offset(1, -1, False), Offset(1, 1, False), 10),
        (Offset(1, 1, False), Offset(2, -1, False), 0),  # the batch before has read the last of them
        (Offset(1, -1, False), Offset(1, 0, False), None),  # one of two files
        (Offset(1, 0, False), Offset(2, -1, False), None),
        (Offset(1, -1, False), Offset(3, -1, False), None),  # rows were taken away: nothing counts them
        (Offset(3, -1, False), Offset(4, -1, False), 0),  # an OPTIMIZE
        (Offset(3, -1, False), Offset(5, -1, False), 7),
        (Offset(5, -1, False), Offset(6, -1, False), None),  # change files tell of no number
        (Offset(6, -1, False), Offset(7, -1, False), None),  # a file without statistics
    ],
)
def test_the_log_tells_how_many_rows_landed_or_nothing_does(
    tmp_path: Path, since: Offset | None, until: Offset, rows: int | None
) -> None:
    table = tmp_path / "u"
    write_commit(table, 0)
    write_commit(table, 1, add("a", 4), add("b", 6))
    write_commit(table, 2, remove("a"), add("c", 4))
    write_commit(table, 3, remove("b", data_change=False), add("d", 6, data_change=False))
    write_commit(table, 4, add("e", 7), add("f", 9, data_change=False))
    write_commit(table, 5, add("g", 3), cdc("x"))
    write_commit(table, 6, {"add": {"path": "h", "partitionValues": {}, "dataChange": True, "size": 9}})
    assert landed(table, InputRange(1, since, until, 0)).rows == rows


@pytest.mark.parametrize(
    ("since", "until", "deletes"),
    [
        (None, Offset(1, 0, True), False),  # in the first snapshot
        (Offset(1, 0, True), Offset(1, 1, True), False),
        (Offset(1, 1, True), Offset(2, -1, False), False),  # its end, and nothing behind it
        (Offset(1, 1, True), Offset(2, 0, False), True),  # its end, and half of the commit behind it
        (None, Offset(2, -1, False), True),  # all of a first snapshot, but no offset says of which version
        (Offset(1, 0, False), Offset(2, -1, False), False),
        (Offset(2, -1, False), Offset(2, 0, False), True),
        (Offset(2, 0, False), Offset(2, 1, False), True),
        (Offset(2, 1, False), Offset(5, -1, False), False),  # behind it
        (Offset(3, -1, False), Offset(4, 0, False), False),
    ],
)
def test_deletes_are_expected_where_a_commit_took_rows_away(
    repaired: Path,
    since: Offset | None,
    until: Offset,
    deletes: bool,  # noqa: FBT001
) -> None:
    assert may_hold_deletes(repaired, input_range(repaired, 1, since, until)) == deletes


@pytest.mark.parametrize(
    ("until", "recomputed", "exact"),
    [
        (Offset(5, -1, False), None, 4),
        (Offset(4, 1, False), None, 4),
        (Offset(4, 0, False), None, None),  # inside a commit
        (Offset(4, 0, False), 4, None),  # and some of its groups hold all of it
        (Offset(4, 0, False), 3, 3),  # without keys: all of it is of version 3
        (Offset(5, -1, False), 7, None),  # some of its groups are ahead
        (Offset(1, 0, True), None, None),  # in the first snapshot
    ],
)
def test_a_gold_shows_a_version_exactly_when_all_of_it_does(
    repaired: Path, until: Offset, recomputed: int | None, exact: int | None
) -> None:
    read = input_range(repaired, 1, None, until)
    note = CommitNote("gold.units", 1, 0, "", reads={"silver.sales": read}, recomputed=recomputed)
    assert exact_version(note, "silver.sales") == exact
    assert exact_version(note, "silver.customers") is None


def test_positions_on_the_tape_follow_bronze_versions(lake_path: Path) -> None:
    lake, bronze = Lake.at(lake_path), TableName.parse("bronze.invoices")
    append_to_tape(lake.folder(bronze), 0, ["2026-01-05"])
    tape = Tape(lake, bronze)
    assert position_of_bronze_version(tape, -1) == BEFORE_THE_TAPE
    assert position_of_bronze_version(tape, 0) == Position(0, 0)


def test_positions_of_a_silver_are_those_its_commits_note(tmp_path: Path) -> None:
    note = CommitNote("silver.sales", 1, 0, "", position={"bronze.invoices": Position(3, 5)})
    write_commit(tmp_path, 0)
    write_commit(tmp_path, 1, add(), note=note)
    write_commit(tmp_path, 2, add())
    found = [positions_of_version(tmp_path, v) for v in (-1, 0, 1, 2)]
    assert found == [{}, {}, {"bronze.invoices": Position(3, 5)}, {"bronze.invoices": Position(3, 5)}]


FIRST = InputRange(1, None, Offset(4, -1, False), 3)


def test_ranges_that_follow_each_other_tile() -> None:
    check_tiles("silver.sales", None, FIRST)
    check_tiles("silver.sales", FIRST, InputRange(1, FIRST.until, Offset(6, -1, False), 5))


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (FIRST, None),  # a new checkpoint under an old table: all rows twice
        (FIRST, Offset(5, -1, False)),  # version 4 lost
        (FIRST, Offset(3, -1, False)),  # version 3 twice
        (FIRST, Offset(4, 0, False)),  # one file lost
        (None, Offset(4, -1, False)),  # an old checkpoint under a new table: all rows lost
    ],
)
def test_ranges_with_a_hole_or_an_overlap_are_refused(before: InputRange | None, since: Offset | None) -> None:
    with pytest.raises(TapeGap, match=r"silver\.sales would go on from .*\nHint: .*replay the table"):
        check_tiles("silver.sales", before, InputRange(1, since, Offset(9, -1, False), 8))


def done(checkpoint: Checkpoint) -> list[int]:
    """Return the micro-batches that Spark has logged as done."""
    return sorted(int(path.name) for path in (checkpoint.path / "commits").iterdir() if path.name.isdigit())


@pytest.mark.parametrize("feed", [False, True])
def test_deltas_own_offsets_tile_and_pass_every_version(spark: SparkSession, tmp_path: Path, feed: bool) -> None:  # noqa: FBT001
    path, checkpoint = tmp_path / "t", Checkpoint(tmp_path / "checkpoint")
    properties = "TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')" if feed else ""
    spark.sql(f"CREATE TABLE delta.`{path}` (id BIGINT) USING delta {properties}")
    for _n in range(2):
        spark.range(4, numPartitions=3).write.format("delta").mode("append").save(str(path))
    if feed:
        spark.sql(f"DELETE FROM delta.`{path}` WHERE id = 3")

    def play() -> None:
        reader = spark.readStream.format("delta").option("maxFilesPerTrigger", "2")
        stream = (reader.option("readChangeFeed", "true") if feed else reader).load(str(path))
        writer = stream.writeStream.foreachBatch(lambda batch, _: None)
        query = writer.option("checkpointLocation", str(checkpoint.path)).trigger(availableNow=True).start()
        query.awaitTermination()

    play()
    snapshot = len(done(checkpoint))
    for _n in range(2):
        spark.range(4, numPartitions=3).write.format("delta").mode("append").save(str(path))
    if feed:
        spark.sql(f"DELETE FROM delta.`{path}` WHERE id = 2")
    play()
    ranges = [input_range(path, 1, *checkpoint.delta_range(n)) for n in done(checkpoint)]
    before: InputRange | None = None
    for read in ranges:
        check_tiles("t", before, read)
        before = read
    versions = [read.version for read in ranges]
    assert versions == sorted(versions)
    assert versions[-1] == (6 if feed else 4), "all of the newest version is in"
    assert len(ranges) - snapshot >= 3, "commits of three files were read in halves"
    assert len(set(versions)) < len(versions), "half a commit is not a whole version"
