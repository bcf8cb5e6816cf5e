"""The lock that the kernel releases with its holder, and the end of a holder that is frozen."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kappa_assets.errors import HostRunning, LakeBusy, LakeError, MaintenanceRunning
from kappa_assets.place.local.leases import lock_kernel
from kappa_assets.place.local.leases.lock import Holder, end_holder, exclusive, holder
from kappa_assets_tests.disks import full, small_disk

HOLD = """
import sys, time
from pathlib import Path
from kappa_assets.place.local.leases.lock import exclusive
with exclusive(Path(sys.argv[1]), "stream", run_id="run-1"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock for the block."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "host" / "lock"


def test_a_lock_that_nobody_took_has_no_holder(path: Path) -> None:
    assert holder(path) is None
    assert end_holder(path) is None


def test_a_second_taker_is_told_who_holds_it(path: Path) -> None:
    with held_elsewhere(path) as process:
        with (
            pytest.raises(
                HostRunning, match=rf"another host has the lake: process {process.pid} on .*, Dagster run run-1, stream"
            ),
            exclusive(path, "drain", busy=HostRunning),
        ):
            pytest.fail("two processes hold the lock")
        found = holder(path)
        assert found is not None
        assert (found.pid, found.run_id, found.purpose) == (process.pid, "run-1", "stream")


def test_the_lock_is_free_after_the_block_and_after_an_error_in_it(path: Path) -> None:
    with exclusive(path, "drain"):
        assert holder(path) is not None
    assert holder(path) is None
    with pytest.raises(ZeroDivisionError), exclusive(path, "drain"):
        raise ZeroDivisionError
    assert holder(path) is None
    with exclusive(path, "again") as again:
        assert again.pid == os.getpid()


def test_the_kernel_frees_the_lock_of_a_killed_holder(path: Path) -> None:
    with held_elsewhere(path) as process:
        process.kill()
        process.wait()
        assert holder(path) is None
        with exclusive(path, "drain") as mine:
            assert mine.pid == os.getpid()


def test_looking_at_the_lock_does_not_take_it_from_anybody(path: Path) -> None:
    with held_elsewhere(path):
        for _ in range(3):
            assert holder(path) is not None
        with pytest.raises(LakeBusy), exclusive(path, "drain"):
            pytest.fail("looking released the lock")


def test_a_frozen_holder_is_ended_by_its_pid(path: Path) -> None:
    with held_elsewhere(path) as process:
        process.send_signal(signal.SIGSTOP)
        ended = end_holder(path)
        assert ended is not None
        assert ended.pid == process.pid
        assert process.wait() == -signal.SIGKILL
        assert holder(path) is None


def test_who_has_the_lock_by_now_is_not_ended_for_the_one_before(path: Path) -> None:
    with exclusive(path, "stream") as before:
        pass
    with held_elsewhere(path) as process:
        assert end_holder(path, before) is None
        assert process.poll() is None
        assert end_holder(path, holder(path)) is not None


def test_a_process_that_only_got_the_holders_pid_is_not_ended(path: Path) -> None:
    with held_elsewhere(path) as process:
        body = json.loads(path.read_text())
        path.write_text(json.dumps({**body, "started": body["started"] - 1}))
        assert end_holder(path) is None
        assert process.poll() is None
        assert holder(path) is not None


def test_a_lock_whose_holder_has_not_signed_yet_is_held_all_the_same(path: Path) -> None:
    with held_elsewhere(path):
        path.write_text("")
        assert holder(path) is not None
        with pytest.raises(LakeBusy, match="starting"), exclusive(path, "drain"):
            pytest.fail("two processes hold the lock")
        assert end_holder(path) is None, "nobody knows whom to end"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LakeError, match=r"the lock '.*file/lock' cannot be written"),
        exclusive(tmp_path / "file" / "lock", "x"),
    ):
        pytest.fail("held")


def in_the_middle_of(path: Path, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Holder | None:
    """Look at the lock, and do `act` when the kernel was asked and the look is not over yet."""
    close, acted = os.close, False

    def closing(descriptor: int) -> None:
        nonlocal acted
        if not acted:
            acted = True
            act()
        close(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr("kappa_assets.place.local.leases.lock.os.close", closing)
        found = holder(path)
    assert acted
    return found


@pytest.fixture(params=["the kernel can be asked", "it has to be probed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to look: Linux', and that of macOS."""
    if request.param == "it has to be probed":
        monkeypatch.setattr(lock_kernel, "_CAN_ASK", False)


@pytest.mark.usefixtures("way")
def test_two_lookers_never_take_each_other_for_a_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with exclusive(path, "drain"):
        pass
    others: list[Holder | None] = []
    assert in_the_middle_of(path, lambda: others.append(holder(path)), monkeypatch) is None
    assert others == [None]


def test_a_start_in_the_middle_of_a_look_is_not_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        with exclusive(path, "drain"):
            assert holder(path) is not None

    start()
    in_the_middle_of(path, start, monkeypatch)


@pytest.mark.usefixtures("way")
def test_a_start_waits_for_looks_where_they_take_the_lock_for_a_moment(path: Path) -> None:
    started = threading.Event()

    def start() -> None:
        with exclusive(path, "drain"):
            started.set()

    with exclusive(path, "drain"):
        pass
    with path.open() as look:
        fcntl.flock(look, fcntl.LOCK_SH if not lock_kernel._CAN_ASK else fcntl.LOCK_UN)
        thread = threading.Thread(target=start)
        thread.start()
        fcntl.flock(look, fcntl.LOCK_UN)
        thread.join()
    assert started.is_set()


@pytest.mark.usefixtures("way")
def test_both_ways_to_look_tell_a_held_lock_from_a_free_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_kernel, "_LOOKS_PASS", 0.0)
    with exclusive(path, "drain") as mine:
        assert holder(path) == mine
        with pytest.raises(MaintenanceRunning, match="at work already: process"):
            exclusive(path, "drain", busy=MaintenanceRunning).__enter__()
    assert holder(path) is None


def test_the_signature_of_an_earlier_holder_is_not_taken_for_that_of_one_who_has_not_signed_yet(path: Path) -> None:
    with exclusive(path, "drain") as mine:
        pass
    path.write_text(json.dumps({**vars(mine), "pid": mine.pid + 1, "purpose": "of old"}))
    with path.open("r+") as file:
        assert lock_kernel.take(file.fileno())
        found = holder(path)
        assert found is not None
        assert (found.pid, found.purpose) == (0, "starting")


def test_a_host_of_an_older_version_is_seen_though_it_marks_nothing(path: Path) -> None:
    path.parent.mkdir()
    signed = {"pid": os.getpid(), "host": "here", "since": "then", "purpose": "stream", "started": 7, "run_id": None}
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(signed))
        file.flush()
        assert holder(path) == Holder(os.getpid(), "here", "then", "stream", 7)
        with pytest.raises(LakeBusy, match="stream since then"), exclusive(path, "drain"):
            pytest.fail("an older version does not count")
    assert holder(path) is None


def test_a_lock_is_signed_on_a_full_disk_where_it_was_signed_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        with exclusive(disk / "lock", "before"):
            pass
        with full(disk):
            with exclusive(disk / "lock", "now") as mine:
                assert holder(disk / "lock") == mine
            with (
                pytest.raises(LakeError, match=r"the lock .* cannot be written: No space left"),
                exclusive(disk / "fresh", "never signed"),
            ):
                pytest.fail("nobody would know who holds it")
            assert holder(disk / "fresh") is None


def test_a_holder_out_of_sight_is_neither_found_nor_ended(path: Path) -> None:
    with held_elsewhere(path) as process:
        body = json.loads(path.read_text())
        path.write_text(json.dumps({**body, "namespace": "pid:[1]"}))
        found = holder(path)
        assert found is not None
        assert (found.pid, found.is_in_sight, found.process()) == (process.pid, False, None)
        assert end_holder(path) is None
        assert process.poll() is None
