"""The lock that the kernel releases with its holder, and the end of a holder that is frozen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kappa_assets.errors import HostRunning, LakeError
from kappa_assets.lock import end_holder, exclusive, holder

HOLD = """
import sys, time
from pathlib import Path
from kappa_assets.lock import exclusive
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
                HostRunning, match=rf"'lock' is held by process {process.pid} on .*, Dagster run run-1, stream"
            ),
            exclusive(path, "drain"),
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
        with pytest.raises(HostRunning), exclusive(path, "drain"):
            pytest.fail("looking released the lock")


def test_a_frozen_holder_is_ended_by_its_pid(path: Path) -> None:
    with held_elsewhere(path) as process:
        process.send_signal(signal.SIGSTOP)
        ended = end_holder(path)
        assert ended is not None
        assert ended.pid == process.pid
        assert process.wait() == -signal.SIGKILL
        assert holder(path) is None


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
        with pytest.raises(HostRunning, match="a process that is just starting"), exclusive(path, "drain"):
            pytest.fail("two processes hold the lock")
        assert end_holder(path) is None, "nobody knows whom to end"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LakeError, match=r"the lock '.*file/lock' cannot be written"),
        exclusive(tmp_path / "file" / "lock", "x"),
    ):
        pytest.fail("held")
