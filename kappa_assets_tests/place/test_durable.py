"""What is on the disk for good, and when: every sync is noted, with what a loss of power would find at that moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import LongType, StringType, StructField, StructType

from kappa_assets.errors import LakeError, SetupError
from kappa_assets.host.runner import Runner
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import read_commit
from kappa_assets.names import TableName
from kappa_assets.place.local import durable
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import log_file
from kappa_assets.place.registry import Registry, events
from kappa_assets_tests.host.scripted_query import Script
from kappa_assets_tests.place.delta_write.by_hand import log_file as log_by_hand

if TYPE_CHECKING:
    from kappa_assets.kinds.query import TableQuery

INVOICES, SALES = TableName.parse("bronze.invoices"), TableName.parse("silver.sales")
COLUMNS = StructType([StructField("n", LongType()), StructField("_arrival_date", StringType())])
DAYS = ("2026-01-01", "2026-01-02")


@dataclass
class Disk:
    """The paths that were synced, in order, each with whether `watched` was there already."""

    synced: list[Path] = field(default_factory=list)
    watched: Path | None = None
    before: list[Path] = field(default_factory=list)
    refuse: OSError | None = None

    def fsync(self, descriptor: int) -> None:
        if self.refuse is not None:
            raise self.refuse
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.synced.append(path)
        if self.watched is None or not self.watched.exists():
            self.before.append(path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "fsync", made.fsync)
    return made


@pytest.fixture
def commit(lake_path: Path, disk: Disk) -> Callable[[TableName], tuple[Path, set[Path]]]:
    """Commit one file per day to a table, and return its folder and the files."""

    def made(table: TableName) -> tuple[Path, set[Path]]:
        folder = Lake(lake_path).folder(table)
        writer = DeltaWriter(str(table), folder, partition_by=("_arrival_date",))
        writer.prepare(COLUMNS)
        names = [f"_arrival_date={day}/rows.parquet" for day in DAYS]
        for name in names:
            (folder / name).parent.mkdir()
            pq.write_table(pa.table({"n": [1]}), folder / name)
        disk.watched = log_file(folder, 1)
        disk.synced.clear()
        disk.before.clear()
        assert writer.commit(describe_files(folder, names, ("_arrival_date",)), Once("app", 0), "{}") == 1
        return folder, {folder / name for name in names}

    return made


def test_the_rows_of_a_tape_are_on_the_disk_before_its_log_names_them_and_then_the_log(
    commit: Callable[[TableName], tuple[Path, set[Path]]], disk: Disk
) -> None:
    folder, files = commit(INVOICES)
    assert files | {file.parent for file in files} | {folder} <= set(disk.before)
    after = disk.synced[len(disk.before) :]
    assert after[0] == log_file(folder, 1) == log_by_hand(folder, 1)
    assert {folder / "_delta_log", folder} <= set(after)


@pytest.mark.parametrize(
    ("word", "tape", "silver"),
    [(None, True, False), ("tape", True, False), ("all", True, True), ("none", False, False)],
)
def test_what_is_synced_is_chosen(
    commit: Callable[[TableName], tuple[Path, set[Path]]],
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    word: str | None,
    tape: bool,  # noqa: FBT001 -- pytest passes it by name
    silver: bool,  # noqa: FBT001
) -> None:
    if word is not None:
        monkeypatch.setenv("KAPPA_SYNC", word)
    for table, wanted in ((INVOICES, tape), (SALES, silver)):
        folder, files = commit(table)
        assert (files | {log_file(folder, 1)} <= set(disk.synced)) == wanted
        assert bool(disk.synced) == wanted
        assert durable.is_synced(f"rejects of {table}") == wanted


def test_another_word_is_refused_with_the_words_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPPA_SYNC", "yes")
    with pytest.raises(SetupError, match=r"KAPPA_SYNC is 'yes'\nHint: It is one of none, tape, all"):
        durable.chosen()


def test_the_registry_is_always_synced_rows_and_log(
    lake_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPA_SYNC", "none")
    registry = Registry(Lake.at(lake_path))
    for number in (1, 2):
        disk.synced.clear()
        state = registry.add(events.generation_created(SALES, number, "code"))
        folder = registry.lake.registry
        rows = {path for path in folder.glob("*.parquet") if path in disk.synced}
        assert len(rows) == 1
        assert rows | {log_file(folder, state.version), folder / "_delta_log", folder} <= set(disk.synced)
        assert read_commit(folder, state.version).adds_data
    disk.refuse = OSError(5, "Input/output error")
    with pytest.raises(LakeError, match=r"the registry cannot be written .*Input/output error"):
        registry.add(events.generation_created(SALES, 3, "code"))


def test_what_a_batch_consists_of_is_on_the_disk_before_its_rows(tmp_path: Path, disk: Disk) -> None:
    names = ("offsets/7", "sources/0/7", "commits/6")
    for name in names:
        path = tmp_path / "checkpoint" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("v1")
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    checkpoint.sync(7)
    assert {checkpoint.path / name for name in names} <= set(disk.synced)
    assert {checkpoint.path, *(checkpoint.path / log for log in ("offsets", "commits", "sources/0"))} <= set(
        disk.synced
    )


@pytest.mark.parametrize(("table", "synced"), [(INVOICES, True), (SALES, False)])
def test_a_batch_of_a_tape_begins_with_the_sync_of_its_checkpoint(
    tmp_path: Path,
    disk: Disk,
    table: TableName,
    synced: bool,  # noqa: FBT001 -- pytest passes it by name
) -> None:
    @dataclass
    class Noting(Script):
        def apply(self, batch: object, number: int) -> None:
            disk.synced.append(Path("applied"))
            super().apply(batch, number)

    offsets = tmp_path / "offsets" / "0"
    offsets.parent.mkdir()
    offsets.write_text("v1")
    query = Noting(tmp_path, table=table)
    Runner(cast("TableQuery", query)).tend()
    assert query.callback is not None
    query.callback(None, 0)
    assert (offsets in disk.synced[:-1], disk.synced[-1]) == (synced, Path("applied"))
