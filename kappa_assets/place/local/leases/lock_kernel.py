"""How the kernel holds a lock, and how it is asked who holds one: a look takes nothing.

The lock itself is `flock`'s, released with its process whatever becomes of that. `flock` can only be probed by taking
it, and then two lookers, or a look and a start, are in each other's way (measured: 274 of 997 starts refused beside two
busy lookers). So the holder also marks one byte of the file with an open-file-description lock, which F_OFD_GETLK asks
for without taking it, from any container. Which byte tells its pid.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

from kappa_assets.errors import LakeError

_CAN_ASK = sys.platform == "linux" and struct.calcsize("P") == 8  # noqa: PLR2004 -- bytes: the layout below is 64-bit's
_QUESTION = "hhqqi"
"""The kernel's `struct flock`: type, whence, start, length, pid."""
_MARK = 1 << 40
"""The byte that process 0 would mark: far behind whatever is written in the file."""
_LOOKS_PASS = 5.0
"""Seconds in which, where looks take a shared lock for a moment, a start meets none of them at some time."""


def take(descriptor: int) -> bool:
    """Take the lock if nobody has it, and return whether. It goes with the descriptor. Raises LakeError on NFS."""
    if not _take_flock(descriptor):
        return False
    if _CAN_ASK:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, _MARK + os.getpid(), 1))
        except BlockingIOError as error:  # only who has the flock marks a byte: here both are one and the same lock
            raise LakeError(
                "the lake's file system does not tell one kind of lock from another",
                hint="A lake lies on a local file system, not on NFS or the like.",
            ) from error
    return True


def taken_by(descriptor: int) -> int | None:
    """Return the pid of who has the lock, in its own namespace, or None. 0: somebody whose pid is not told."""
    if not _CAN_ASK:
        return _probe(descriptor)
    kind, _, start, _, _ = struct.unpack(
        _QUESTION, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _flock(fcntl.F_RDLCK, _MARK, 0))
    )
    return _flocked_by(descriptor) if kind == fcntl.F_UNLCK else start - _MARK


def _take_flock(descriptor: int) -> bool:
    deadline = time.monotonic() + (0.0 if _CAN_ASK else _LOOKS_PASS)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)
        else:
            return True


def _flocked_by(descriptor: int) -> int | None:
    """Return who has the flock without a mark: a process that is just taking it, or a host of an older version."""
    file = os.fstat(descriptor)
    name = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().split("\n")
    except OSError:
        return None
    held = (line.split() for line in lines if name in line and "->" not in line)
    return next((int(words[4]) for words in held if words[1] == "FLOCK" and words[5] == name), None)


def _probe(descriptor: int) -> int | None:
    """Ask with a shared lock, for a moment: lookers do not see each other, and a start waits until they are gone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return None


def _flock(kind: int, start: int, length: int) -> bytes:
    return struct.pack(_QUESTION, kind, os.SEEK_SET, start, length, 0)
