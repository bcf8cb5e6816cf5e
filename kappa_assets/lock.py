"""One process at a time: a file lock that the kernel releases with its holder."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kappa_assets.errors import HostRunning, LakeError


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. `started` is the process's start time in clock ticks: a pid alone can be reused."""

    pid: int
    host: str
    since: str
    purpose: str
    started: int
    run_id: str | None = None

    def __str__(self) -> str:
        run = f", Dagster run {self.run_id}" if self.run_id else ""
        return f"process {self.pid} on {self.host}{run}, {self.purpose} since {self.since}"


@contextmanager
def exclusive(path: Path, purpose: str, *, run_id: str | None = None) -> Iterator[Holder]:
    """Hold the lock at `path` for the block.

    Raises HostRunning, naming the holder, when another process has it; LakeError when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LakeError(
            f"the lock {str(path)!r} cannot be written: {error.strerror}", hint="Give this user write access."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostRunning(
                f"the lock {path.name!r} is held by {_read(path) or 'a process that is just starting'}",
                hint="Let it finish, or stop it: its Dagster run's Terminate, or Ctrl-C in its terminal.",
            ) from None
        holder = Holder(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            purpose=purpose,
            started=_start_ticks(os.getpid()) or 0,
            run_id=run_id,
        )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield holder
    finally:
        os.close(descriptor)


@contextmanager
def table_turn(folder: Path) -> Iterator[None]:
    """Hold a table's write lock for the block, waiting for it: commits of streams, repairs and maintenance alternate.

    Nobody holds it for longer than a commit, or the rewriting of a slice by maintenance. It lies beside the table's
    folder, whose own content is Delta's. Raises LakeError when it cannot be written.
    """
    path = folder.with_name(f".{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LakeError(
            f"the lock {str(path)!r} cannot be written: {error.strerror}",
            hint="Check that the disk is there, writable and not full.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Return who holds the lock at `path` now, or None. Never waits."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path) or Holder(0, socket.gethostname(), "just now", "starting", 0)
    finally:
        os.close(descriptor)
    return None


def end_holder(path: Path, *, patience: float = 10.0) -> Holder | None:
    """End the process that holds the lock, and return who it was.

    A frozen holder (SIGSTOP, a hung machine call) is ended by its pid, never superseded: only the kernel's release of
    the lock proves that it will not write again. Raises HostRunning when it lives on.
    """
    found = holder(path)
    if found is None or found.pid == 0 or _start_ticks(found.pid) != found.started:
        return None
    os.kill(found.pid, signal.SIGKILL)
    deadline = time.monotonic() + patience
    while holder(path) is not None:
        if time.monotonic() > deadline:
            raise HostRunning(f"{found} does not end", hint="Look at it with ps; it may wait for a dead disk.")
        time.sleep(0.05)
    return found


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot (proc(5), field 22), or None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
