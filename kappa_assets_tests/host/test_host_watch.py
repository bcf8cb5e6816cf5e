"""Who is a frozen host and who is not, by scripted answers of the kernel, and once by the kernel itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kappa_assets.host.host_status import Beat, HostStatus, host_alive, read_status, write_beat, write_status
from kappa_assets.host.host_watch import WATCHED_FOR, HostWatch, Judgement
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.leases.lock import Holder, end_holder
from kappa_assets.place.local.leases.machine import Moment, ProcessSeen, boot_id, pid_namespace, see_process
from kappa_assets_tests.disks import full, small_disk

HOLDER = Holder(7, "here", "then", "stream", started=70, boot="boot")
A_HOST = """
import os, sys, time
from pathlib import Path
from kappa_assets.host.host_status import Beat, write_beat
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.local.leases.machine import Moment
lake = Lake(Path(sys.argv[1]))
with exclusive(HOST.lock(lake), "stream"):
    now = Moment.now()
    write_beat(lake, Beat(os.getpid(), 1, now.boot, now.uptime))
    print("held", flush=True)
    while True:
        time.sleep(0.01)
"""


class Machine:
    """A machine that answers as told. Time passes when the test, or a sleep, says so; the wall clock is not asked."""

    def __init__(self, beat: float | None = 0.0) -> None:
        self.uptime = 1000.0
        self.process: ProcessSeen | None = ProcessSeen(70, False, "1")
        self.beat = None if beat is None else Beat(7, 1, "boot", self.uptime - beat)
        self.watch = HostWatch(process=lambda _: self.process, now=self.now, sleep=self.later)

    def now(self) -> Moment:
        return Moment(float("nan"), self.uptime, "boot")

    def later(self, seconds: float) -> None:
        self.uptime += seconds

    def stop(self) -> None:
        assert self.process is not None
        self.process = replace(self.process, is_stopped=True)

    def work(self) -> None:
        assert self.process is not None
        self.process = replace(self.process, moves=self.process.moves + "1")

    def judge(self, holder: Holder | None = HOLDER) -> Judgement:
        return self.watch.judge(holder, self.beat)


def test_nobody_is_not_frozen() -> None:
    assert Machine().judge(None).verdict == "none"


@pytest.mark.parametrize(("silent", "verdict"), [(0, "alive"), (59, "alive"), (61, "frozen"), (9999, "frozen")])
def test_a_stopped_host_is_frozen_once_it_is_silent_for_a_minute(silent: float, verdict: str) -> None:
    machine = Machine(beat=silent)
    machine.stop()
    assert machine.judge().verdict == verdict


def test_a_host_that_cannot_beat_but_works_is_left_alone_however_long() -> None:
    machine = Machine(beat=61)
    for _ in range(200):
        assert machine.judge().verdict in ("alive", "unsure")
        machine.work()
        machine.later(30)
    assert "is its disk full?" in machine.judge().remark


def test_a_host_that_does_nothing_at_all_is_frozen_after_being_watched() -> None:
    machine = Machine(beat=61)
    for _ in range(int(WATCHED_FOR)):
        assert machine.judge().verdict == "unsure"
        machine.later(1)
    assert machine.judge() == Judgement("frozen", "it did nothing for 30 s, no heartbeat for 91 s")


def test_one_sign_of_life_begins_the_watch_anew() -> None:
    machine = Machine(beat=61)
    machine.judge()
    machine.later(WATCHED_FOR - 1)
    machine.work()
    assert machine.judge().verdict == "alive"
    machine.later(1)
    assert machine.judge().verdict == "unsure"


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_a_step_of_the_wall_clock_makes_nobody_older(step: float) -> None:
    status = HostStatus(7, "stream", "2026-01-01T00:00:00+00:00", "", 1, (), boot="boot", uptime=990.0)
    at = 1767225600.0
    assert status.age(Moment(at + step, 1000.0, "boot")) == 10.0
    assert Beat(7, 1, "boot", 990.0).age(Moment(at + step, 1000.0, "boot")) == 10.0
    assert status.age(Moment(at + 60, 5.0, "after a restart")) == 60.0
    assert replace(status, uptime=None).age(Moment(at + 60, 1000.0, "boot")) == 60.0


def test_the_beat_of_an_earlier_host_or_boot_is_not_the_holders() -> None:
    for beat in (Beat(6, 1, "boot", 1.0), Beat(7, 1, "before", 1.0)):
        machine = Machine()
        machine.beat = beat
        assert machine.judge().verdict == "unsure"
        machine.work()
        machine.later(1)
        assert machine.judge() == Judgement("alive")


def test_a_host_that_is_stopped_before_its_first_beat_is_watched_for_a_minute() -> None:
    machine = Machine(beat=None)
    machine.stop()
    assert machine.judge().verdict == "unsure"
    machine.later(59)
    assert machine.judge().verdict == "unsure"
    machine.later(1)
    assert machine.judge().verdict == "frozen"


def test_what_was_seen_of_another_host_does_not_count() -> None:
    machine = Machine(beat=None)
    machine.judge()
    machine.later(600)
    assert machine.judge(replace(HOLDER, started=71)).verdict == "unsure"


def test_a_host_out_of_sight_is_never_judged_frozen_and_the_silence_is_said() -> None:
    machine = Machine(beat=600)
    machine.process = None
    judged = machine.judge(replace(HOLDER, namespace="pid:[1]"))
    assert judged.verdict == "alive"
    assert "another container" in judged.remark


@contextmanager
def living_host(lake: Lake) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the host's lock and has beaten once."""
    process = subprocess.Popen([sys.executable, "-c", A_HOST, str(lake.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.at(tmp_path / "lake")
    made.host.mkdir()
    return made


def test_settling_looks_until_it_is_sure_and_no_longer_than_wanted(lake: Lake) -> None:
    machine = Machine()
    assert machine.watch.settle(lake, lambda: None).verdict == "none"
    with living_host(lake):
        watch = HostWatch(process=lambda _: machine.process, now=machine.now, sleep=machine.later)
        begun = machine.uptime
        assert watch.settle(lake, lambda: "enough").verdict == "unsure"
        assert watch.settle(lake, lambda: None).verdict == "frozen"
        assert machine.uptime - begun == WATCHED_FOR


def stop(pid: int) -> None:
    """Stop a process, and return when the kernel says that it is."""
    os.kill(pid, signal.SIGSTOP)
    while (seen := see_process(pid)) is not None and not seen.is_stopped:
        pass


def test_the_kernel_tells_a_stopped_host_from_one_that_works_in_silence(lake: Lake) -> None:
    """A real process, and a clock a minute ahead: nothing waits."""

    def later() -> Moment:
        return replace(Moment.now(), uptime=Moment.now().uptime + 61)

    with living_host(lake) as host:
        found = host_alive(lake)
        assert found is not None
        assert (found.pid, found.boot, found.namespace) == (host.pid, boot_id(), pid_namespace())
        judged = HostWatch(now=later).settle(lake, lambda: None)
        assert (judged.verdict, judged.remark.partition(", ")[2]) == ("alive", "but it works: is its disk full?")
        stop(host.pid)
        assert HostWatch().settle(lake, lambda: None).verdict == "alive", "a minute is not over"
        judged = HostWatch(now=later).settle(lake, lambda: None)
        assert judged.verdict == "frozen"
        assert judged.remark.startswith("the kernel says that it is stopped")
        ended = end_holder(HOST.lock(lake))
        assert ended is not None
        assert ended.pid == host.pid
        assert host.wait() == -signal.SIGKILL
        assert HostWatch(now=later).settle(lake, lambda: None).verdict == "none"


def test_a_beat_needs_no_space_and_speaks_for_what_could_not_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        lake = Lake.at(disk / "lake")
        lake.host.mkdir()
        write_status(lake, HostStatus(7, "stream", "2026-01-01T00:00:00+00:00", "", 1, (), boot="boot", uptime=1.0))
        write_beat(lake, Beat(7, 1, "boot", 1.0))
        with full(disk):
            with pytest.raises(OSError, match="No space left"):
                write_status(lake, HostStatus(7, "stream", "", "", 1, (), boot="boot", uptime=90.0))
            write_beat(lake, Beat(7, 45, "boot", 90.0))
            status = read_status(lake)
            assert status is not None
            assert (status.uptime, status.ended) == (90.0, None)
            assert status.age(Moment(0.0, 92.0, "boot")) == 2.0
            write_beat(lake, Beat(7, 46, "boot", 92.0, ended=True))
            ended = read_status(lake)
            assert ended is not None
            assert ended.ended is not None
        assert (lake.host / "beat").stat().st_size == 256
