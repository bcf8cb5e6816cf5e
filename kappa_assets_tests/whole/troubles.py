"""What is no kill: threads, upkeep, a person's hand, a lost checkpoint, a full disk, a clock. Walked by `make chaos`.

Each trouble has a lake and a fixed set of files of its own, and ends with the independent check of everything.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from deltalake import DeltaTable

from kappa_assets.errors import HostRunning
from kappa_assets.host.host import Host
from kappa_assets.host.host_status import read_beat
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.tape import tape_query
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.disks import fill, small_disk
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.conftest import Stage
from kappa_assets_tests.whole.crashing_host import land, repair_all
from kappa_assets_tests.whole.test_replay import living, reached
from kappa_assets_tests.whole.verify import INVOICES, SILVER, verify, verify_bronze, verify_tables, verify_tape

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_FULL_FOR = 90.0
_DAY = dt.timedelta(days=1)


@contextmanager
def again_and_again(work: Callable[[], object]) -> Iterator[None]:
    """Do `work` over and over in a thread of its own for the block; what it raised is raised at the end."""
    over, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            while not over.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 -- raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def _by_file(stage: Stage, spark: SparkSession) -> Setting:
    return Setting(spark, stage.lake, stage.root / "landing", Pace(landed_files=1))


def _finish(stage: Stage, spark: SparkSession) -> None:
    Host(_by_file(stage, spark), pipeline).drain()
    verify(stage.lake, stage.landed)


def two_threads(root: Path, spark: SparkSession) -> None:
    """A stream, repairs beside it, and a look at one tape shared with its index: none of them doubles a line."""
    stage = Stage.make(root, 301)
    tape = Tape(stage.lake, INVOICES)
    setting = _by_file(stage, spark)
    with living(setting, pipeline), again_and_again(tape.commits), again_and_again(tape.sync):
        for number, name in enumerate(stage.staged):
            land(stage.root, [name])
            reached(setting, number)
            repair_all(setting)
    _finish(stage, spark)


def deletes_by_hand(root: Path, spark: SparkSession) -> None:
    """Somebody deletes rows of Silver while the tables stream; a repair brings them back, and Gold follows."""
    stage = Stage.make(root, 302)
    setting = _by_file(stage, spark)
    with living(setting, pipeline):
        for number, name in enumerate(stage.staged):
            land(stage.root, [name])
            reached(setting, number)
            DeltaTable(setting.lake.folder(SILVER)).delete("quantity > 3")
            repair_all(setting)
    _finish(stage, spark)


def maintenance_beside_late_starts(root: Path, spark: SparkSession) -> None:
    """Old files are linked by late starts while upkeep removes, again and again, what nobody needs."""
    stage = Stage.make(root, 303)
    setting = _by_file(stage, spark)
    for name in stage.staged[:3]:
        land(stage.root, [name])
        Host(setting, pipeline).drain()
    tape = Tape(setting.lake, INVOICES)
    with again_and_again(lambda: maintain(setting.lake, pipeline, progress=lambda _: None)):
        for start in (1, 2):
            _make_old(setting.lake)
            version = tape.commits()[start].version
            plan = plan_replay(setting.lake, pipeline, [SILVER], from_version=version)
            assert run_replay(setting, pipeline, plan, progress=lambda _: None).state == "promoted"
            land(stage.root, stage.staged[:1])
            Host(setting, pipeline).drain()
    Host(setting, pipeline).drain()
    verify_bronze(stage.lake, stage.landed)
    verify_tables(stage.lake, stage.landed)
    verify_tape(stage.lake)


def _make_old(lake: Lake) -> None:
    """Give each data file of Silver the time of a month ago."""
    long_ago = time.time() - 30 * _DAY.total_seconds()
    for path in (lake.system / "tables" / "silver").rglob("*.parquet"):
        os.utime(path, (long_ago, long_ago))


def lost_checkpoint(root: Path, spark: SparkSession) -> None:
    """The tape's checkpoint is removed, and later put back older than the tape: each file is on the tape once."""
    stage = Stage.make(root, 304)
    setting = _by_file(stage, spark)
    land(stage.root, stage.staged[:2])
    Host(setting, pipeline).drain()
    checkpoint = setting.lake.checkpoint(INVOICES)
    shutil.copytree(checkpoint, root / "checkpoint_then")
    shutil.rmtree(checkpoint)
    land(stage.root, stage.staged[2:4])
    Host(setting, pipeline).drain()
    shutil.rmtree(checkpoint)
    shutil.copytree(root / "checkpoint_then", checkpoint)
    land(stage.root, stage.staged)
    _finish(stage, spark)


def full_disk(root: Path, spark: SparkSession) -> None:
    """The lake's disk is full for a minute and a half: the host lives on, nobody ends it, and it goes on afterwards."""
    root.mkdir(parents=True)
    with small_disk(root / "disk", megabytes=64) as disk:
        stage = Stage.make(disk / "stage", 305)
        setting = _by_file(stage, spark)
        with living(setting, pipeline):
            land(stage.root, stage.staged[:1])
            reached(setting, 0)
            before = _beats(setting.lake)
            fill(disk)
            try:
                land(stage.root, stage.staged[:1])
                time.sleep(_FULL_FOR)
                assert _beats(setting.lake) > before, "a beat needs no space"
                with pytest.raises(HostRunning):
                    Host(setting, pipeline).drain()
            finally:
                (disk / "filler").unlink()
            reached(setting, 1)
        land(stage.root, stage.staged)
        _finish(stage, spark)


def _beats(lake: Lake) -> int:
    beat = read_beat(lake)
    assert beat is not None
    return beat.count


def a_clock_that_steps(root: Path, spark: SparkSession) -> None:
    """The wall clock goes a year ahead, two back and again, for arrivals and for upkeep: no row goes, none doubles."""
    stage = Stage.make(root, 306)
    setting = _by_file(stage, spark)
    for number, name in enumerate(stage.staged):
        ahead = dt.timedelta(days=(0, 365, -365, 400, -1)[number % 5])
        with mock.patch.object(tape_query, "dt", _stepped(ahead)):
            land(stage.root, [name])
            Host(setting, pipeline).drain()
        maintain(setting.lake, pipeline, now=dt.datetime.now(dt.UTC) + ahead, progress=lambda _: None)
        assert latest_version(setting.lake.folder(INVOICES)) is not None
    Host(setting, pipeline).drain()
    verify_bronze(stage.lake, stage.landed)
    verify_tables(stage.lake, stage.landed)


def _stepped(ahead: dt.timedelta) -> types.SimpleNamespace:
    """Return the module `datetime` with a clock that is set otherwise."""

    class Stepped(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]  # a plain one is as good
            return dt.datetime.now(tz) + ahead

    return types.SimpleNamespace(**{**vars(dt), "datetime": Stepped})


TROUBLES: Mapping[str, Callable[[Path, SparkSession], None]] = {
    "two threads on a tape": two_threads,
    "deletes by hand": deletes_by_hand,
    "maintenance beside late starts": maintenance_beside_late_starts,
    "a lost checkpoint": lost_checkpoint,
    "a full disk for 90 s": full_disk,
    "a clock that steps": a_clock_that_steps,
}
