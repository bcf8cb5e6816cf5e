"""One host at a time: the second is refused, a frozen one is ended, and each says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from kappa_assets import Layer, TableName
from kappa_assets.errors import HostRunning
from kappa_assets.host import host as host_module
from kappa_assets.host.host import Host
from kappa_assets.host.host_status import host_alive, read_status
from kappa_assets.host.host_watch import HostWatch
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.log_files import latest_version
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.conftest import Stage, environment
from kappa_assets_tests.whole.crashing_host import land
from kappa_assets_tests.whole.scenes import Drain, Sleep, Step, Stream, dump
from kappa_assets_tests.whole.verify import verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets.faults import Point
    from kappa_assets.place.local.leases.lock import Holder

pytestmark = pytest.mark.slow


@contextmanager
def elsewhere(stage: Stage, *steps: Step) -> Iterator[psutil.Process]:
    """A host in another process, that lives at most until the block ends, its JVM with it."""
    scene = dump(steps, stage.root / "scene.json")
    command = [sys.executable, "-m", "kappa_assets_tests.whole.crashing_host", str(stage.root), str(scene)]
    with (stage.root / "said.txt").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment(stage.root))
    family = [psutil.Process(process.pid)]
    try:
        while host_alive(stage.lake) is None or read_status(stage.lake) is None:
            assert process.poll() is None, (stage.root / "said.txt").read_text()[-3000:]
            psutil.wait_procs(family, timeout=0.2)
        family += family[0].children(recursive=True)
        yield family[0]
    finally:
        for member in family:
            if member.is_running():
                member.kill()
        process.wait()
        psutil.wait_procs(family[1:], timeout=30)


def test_a_second_host_is_refused_and_a_frozen_one_is_ended_with_nothing_lost(
    spark: SparkSession, tmp_path: Path
) -> None:
    stage = Stage.make(tmp_path / "stage", seed=71)
    land(stage.root, stage.staged[:2])
    with elsewhere(stage, Stream(10_000)) as first:
        second = Host(stage.setting(spark), pipeline)
        with pytest.raises(HostRunning, match=rf"another host has the lake: process {first.pid} on .*, stream since "):
            second.drain()
        with pytest.raises(HostRunning, match=str(first.pid)):
            second.stream()
        status = read_status(stage.lake)
        assert status is not None
        assert status.pid == first.pid, "the refused host wrote its own status over that of the living one"

        first.send_signal(signal.SIGSTOP)
        with pytest.raises(HostRunning, match=str(first.pid)):
            second.drain()  # no heartbeat is missing yet
        assert first.status() != psutil.STATUS_ZOMBIE, "it was ended too early"
        at_once = HostWatch(frozen_after=0.0)
        assert Host(stage.setting(spark), pipeline, watch=at_once).drain().reason == "caught up"
        assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    land(stage.root, stage.staged[:1])
    assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"
    verify(stage.lake, stage.landed)


@pytest.mark.parametrize(
    ("point", "said"),
    [("after_rejects", "silver.sales was taken over: it has seen epoch"), ("fence_seen", "CommitOvertaken: ")],
)
def test_a_host_that_lost_its_lease_in_its_sleep_reaches_the_table_and_is_refused_there(
    spark: SparkSession, tmp_path: Path, point: Point, said: str
) -> None:
    """It sleeps before its last look at the lease in the table, or between that and its commit."""
    stage = Stage.make(tmp_path / "stage", seed=73)
    land(stage.root, stage.staged[:2])
    sales = stage.lake.folder(TableName(Layer.SILVER, "sales"))
    with elsewhere(stage, Sleep(point, "silver.sales"), Drain()) as first:
        deadline = time.monotonic() + 600
        while first.status() != psutil.STATUS_STOPPED:
            assert first.status() != psutil.STATUS_ZOMBIE, (stage.root / "said.txt").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # Somebody takes it for dead, and its locks away: that of the lake, and the turn that it may hold.
        HOST.lock(stage.lake).unlink()
        sales.with_name(f".{sales.name}.lock").unlink()
        assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"
        version = latest_version(sales)

        first.send_signal(signal.SIGCONT)
        psutil.wait_procs([first], timeout=600)
        assert said in (stage.root / "said.txt").read_text()
        assert latest_version(sales) == version, "nothing of it is in the table"
    land(stage.root, stage.staged[:1])
    assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"
    verify(stage.lake, stage.landed)


def test_a_host_that_lives_is_never_taken_for_the_frozen_one_before_it(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage.make(tmp_path / "stage", seed=72)
    Host(stage.setting(spark), pipeline, wanted=lambda: "at once").drain()
    before = read_status(stage.lake)
    assert before is not None
    assert (before.ended, before.pid) == ("at once", os.getpid())
    ended: list[Holder | None] = []
    monkeypatch.setattr(host_module, "end_holder_of", lambda _, __, whom: ended.append(whom))
    Host(stage.setting(spark), pipeline, wanted=lambda: "at once", watch=HostWatch(frozen_after=-1.0)).drain()
    assert ended == [], "nobody holds the lock, so nobody is to be ended"
