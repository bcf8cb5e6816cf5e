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
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kappa_assets.errors import HostRunning, LakeBusy, LakeError
from kappa_assets.place.local.leases import lock_kernel
from kappa_assets.place.local.leases.machine import ProcessSeen, boot_id, pid_namespace, see_process

_SIGNATURE_BYTES = 1024
"""What a signature fills. It is written over the one before, never shorter: so it needs no space on a full disk."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. `started` is the process's start time in clock ticks: a pid alone can be reused."""

    pid: int
    host: str
    since: str
    purpose: str
    started: int
    run_id: str | None = None
    boot: str = ""
    """The boot of the machine it runs on, and the namespace its pid counts in; "" in the words of an older version."""
    namespace: str = ""
    unclean: bool = False
    """Whether the holder before it did not let go: it died, or the lock's file was taken away from under it."""
    let_go: bool = False
    """Whether it has come to its end, and writes nothing any more."""

    def __str__(self) -> str:
        run = f", Dagster run {self.run_id}" if self.run_id else ""
        return f"process {self.pid} on {self.host}{run}, {self.purpose} since {self.since}"

    @property
    def is_in_sight(self) -> bool:
        """Whether its pid means the same process here: not in another container, or on another machine."""
        if not self.boot and not self.namespace:
            return self.host == socket.gethostname()
        return (self.boot, self.namespace) == (boot_id(), pid_namespace())

    def process(self) -> ProcessSeen | None:
        """Return its process; None when it is gone, or out of sight."""
        seen = see_process(self.pid) if self.pid and self.is_in_sight else None
        return seen if seen is not None and seen.started == self.started else None


@contextmanager
def exclusive(
    path: Path, purpose: str, *, busy: type[LakeBusy] = LakeBusy, run_id: str | None = None
) -> Iterator[Holder]:
    """Hold the lock at `path` for the block.

    Raises `busy`, naming the holder, when another process has it; LakeError when it cannot be written.
    """
    descriptor = _open(path)
    try:
        if not lock_kernel.take(descriptor):
            raise busy.held_by(holder(path) or "a process that is just starting")
        before = _read(path)
        signed = _signature(purpose, run_id, unclean=before is None or not before.let_go)
        _sign(path, descriptor, signed)
        yield signed
        _sign(path, descriptor, replace(signed, let_go=True))
    finally:
        os.close(descriptor)


@contextmanager
def table_turn(folder: Path) -> Iterator[None]:
    """Hold a table's write lock for the block, waiting for it: commits of streams, repairs and maintenance alternate.

    Nobody holds it for longer than a commit, or the rewriting of a slice by maintenance. It lies beside the table's
    folder, whose own content is Delta's. Raises LakeError when it cannot be written.
    """
    descriptor = _open(folder.with_name(f".{folder.name}.lock"))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Return who holds the lock at `path` now, or None. Never waits, and takes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        pid = lock_kernel.taken_by(descriptor)
    finally:
        os.close(descriptor)
    if pid is None:
        return None
    signed = _read(path)
    if signed is not None and pid in (0, signed.pid):
        return signed
    return Holder(0, socket.gethostname(), "just now", "starting", 0)  # what is signed is the word of the one before


def end_holder(path: Path, whom: Holder | None = None, *, patience: float = 10.0) -> Holder | None:
    """End the process that holds the lock, and return who it was. With `whom`, only if that one still holds it.

    A frozen holder (SIGSTOP, a hung machine call) is ended by its pid, never superseded: only the kernel's release of
    the lock proves that it will not write again. Raises HostRunning when it lives on.
    """
    found = holder(path)
    if found is None or found.process() is None or whom not in (None, found):
        return None
    os.kill(found.pid, signal.SIGKILL)
    deadline = time.monotonic() + patience
    while holder(path) is not None:
        if time.monotonic() > deadline:
            raise HostRunning(f"{found} does not end", hint="Look at it with ps; it may wait for a dead disk.")
        time.sleep(0.05)
    return found


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unwritable(path, error) from error


def _signature(purpose: str, run_id: str | None, *, unclean: bool) -> Holder:
    """Return what this process says of itself as a lock's holder."""
    me = see_process(os.getpid())
    return Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        since=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        purpose=purpose,
        started=me.started if me else 0,
        run_id=run_id,
        boot=boot_id(),
        namespace=pid_namespace(),
        unclean=unclean,
    )


def _sign(path: Path, descriptor: int, signed: Holder) -> None:
    """Write into the lock's file who holds it, over what is there."""
    try:
        os.pwrite(descriptor, json.dumps(asdict(signed)).encode().ljust(_SIGNATURE_BYTES), 0)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"the lock {str(path)!r} cannot be written: {error.strerror}",
        hint="Check that the disk is there, not full, and that this user may write.",
    )


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
