"""What the machine says of itself and of its processes: the boot, a clock that is never set, whether a process moves.

Linux answers in /proc, others (macOS) through `ps`.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_STOPPED = "Tt"
"""States of proc(5): stopped by a signal, or by a debugger."""
_START, _USER, _SYSTEM = 19, 11, 12
"""Fields of /proc/<pid>/stat, counted from the state, which follows the name: start time, CPU ticks of all threads."""


@dataclass(frozen=True)
class Moment:
    """One reading of the clocks. Ages are told by `uptime`: whoever sets the wall clock makes nobody older.

    `uptime` is CLOCK_MONOTONIC, in seconds: it stands still while a laptop sleeps, and is the same for all processes
    of one `boot`.
    """

    wall: float
    uptime: float
    boot: str

    @classmethod
    def now(cls) -> Moment:
        """Read the clocks."""
        return cls(time.time(), time.monotonic(), boot_id())


@dataclass(frozen=True)
class ProcessSeen:
    """A process, as the kernel tells of it."""

    started: int
    """When it started, in clock ticks since boot (without /proc: seconds since 1970). A pid alone is used again."""
    is_stopped: bool
    """Whether SIGSTOP, a terminal or a debugger holds it."""
    moves: str
    """CPU time and context switches of all its threads: the same twice means that it did nothing in between."""


@cache
def boot_id() -> str:
    """Return what this boot of the machine is called; "" where it is not told."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Return which processes a pid names here: another container counts its own. "" where there is one for all."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def see_process(pid: int) -> ProcessSeen | None:
    """Return what the kernel says of a process in our namespace, or None when it is gone."""
    return _in_proc(pid) if (_PROC / "self").exists() else _through_ps(pid)


def _in_proc(pid: int) -> ProcessSeen | None:
    folder = _PROC / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        switches = sum(_switches(task) for task in (folder / "task").iterdir())
    except OSError:
        return None
    ticks = int(fields[_USER]) + int(fields[_SYSTEM])
    return ProcessSeen(int(fields[_START]), fields[0] in _STOPPED, f"{ticks} ticks, {switches} switches")


def _switches(task: Path) -> int:
    """Return how often a thread was given the CPU: an idle thread that only wakes adds no tick, but this."""
    try:
        lines = (task / "status").read_text().split("\n")
    except OSError:  # the thread has ended meanwhile
        return 0
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def _through_ps(pid: int) -> ProcessSeen | None:
    command = ["ps", "-o", "state=", "-o", "time=", "-o", "lstart=", "-p", str(pid)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    words = asked.stdout.split()
    if asked.returncode != 0 or len(words) < 3:  # noqa: PLR2004 -- the three things asked for
        return None
    state, cpu, *start = words
    started = int(time.mktime(time.strptime(" ".join(start), "%a %b %d %H:%M:%S %Y")))
    return ProcessSeen(started, state[0] in _STOPPED, f"{cpu} of CPU")
