"""Whether the host that holds a lake's lock is frozen: decided in one place, by the kernel and never by a file's age.

A host is ended only if it has shown no sign of life for a minute, and
- the kernel says that it is stopped (SIGSTOP, a terminal, a debugger), or
- it does not move: for half a minute of the observer's own clock it did not beat, and none of its threads ran.

A full disk, a clock that is set, a laptop that slept, a host of another container: none of these is either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from kappa_assets.host.host_status import FROZEN_AFTER, Beat, host_alive, read_beat
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lock import Holder
from kappa_assets.place.local.leases.machine import Moment, ProcessSeen

WATCHED_FOR = 30.0
"""Seconds of looking in which a host that lives moves: it looks at its switch several times a second."""
_LOOK_EVERY = 1.0


@dataclass(frozen=True)
class Judgement:
    """What is to be thought of the host. `unsure`: look again; it is not ended for now."""

    verdict: Literal["none", "alive", "unsure", "frozen"]
    remark: str = ""
    """What is odd about it, for people; "" when nothing is."""
    holder: Holder | None = field(default=None, compare=False)
    """Whom it is about: another one may hold the lock by now."""


@dataclass(frozen=True)
class _Look:
    """What was seen of one host, and since when it has been so."""

    host: tuple[int, int]
    """Its pid, and when it started."""
    mark: tuple[int | None, str]
    """Its last beat, and how much of the CPU it had."""
    since: float


class HostWatch:
    """Judges the holder of the host's lock from look to look, and remembers the last one.

    `process` and `now` are the kernel's answers, `sleep` what passes between two looks: tests script them.
    """

    def __init__(
        self,
        *,
        process: Callable[[Holder], ProcessSeen | None] = Holder.process,
        now: Callable[[], Moment] = Moment.now,
        sleep: Callable[[float], object] = time.sleep,
        frozen_after: float = FROZEN_AFTER,
    ) -> None:
        self._process = process
        self._now = now
        self._sleep = sleep
        self._frozen_after = frozen_after
        self._last: _Look | None = None

    def judge(self, holder: Holder | None, beat: Beat | None) -> Judgement:
        """Return what is to be thought of `holder`, by this look and the ones before."""
        return replace(Judgement("none") if holder is None else self._judge(holder, beat), holder=holder)

    def _judge(self, holder: Holder, beat: Beat | None) -> Judgement:
        now = self._now()
        ours = beat if beat is not None and beat.is_of(holder) else None
        silent = None if ours is None else ours.age(now)
        process = self._process(holder)
        if process is None:
            return Judgement("alive", self._out_of_sight(holder, silent))
        before, mark = self._last, (None if ours is None else ours.count, process.moves)
        known = before is not None and before.host == (holder.pid, holder.started)
        if before is None or not known or before.mark != mark:
            self._last = _Look((holder.pid, holder.started), mark, now.uptime)
        if silent is not None and silent < self._frozen_after:
            return Judgement("alive")
        quiet = 0.0 if self._last is None else now.uptime - self._last.since
        return self._silent(quiet, silent, process, moved=known and self._last is not before)

    def settle(self, lake: Lake, wanted: Callable[[], str | None]) -> Judgement:
        """Look until it is sure, or not wanted any more: at once, unless a host is silent; then half a minute."""
        while True:
            judged = self.judge(host_alive(lake), read_beat(lake))
            if judged.verdict != "unsure" or wanted() is not None:
                return judged
            self._sleep(_LOOK_EVERY)

    def _silent(self, quiet: float, silent: float | None, process: ProcessSeen, *, moved: bool) -> Judgement:
        """Judge a host without a fresh beat; `silent` is None when it has not beaten yet, or is an older version."""
        beat = "no heartbeat yet" if silent is None else f"no heartbeat for {silent:.0f} s"
        if process.is_stopped and (quiet if silent is None else silent) >= self._frozen_after:
            return Judgement("frozen", f"the kernel says that it is stopped, {beat}")
        if moved:
            return Judgement("alive", "" if silent is None else f"{beat}, but it works: is its disk full?")
        if not process.is_stopped and quiet >= (self._frozen_after if silent is None else WATCHED_FOR):
            return Judgement("frozen", f"it did nothing for {quiet:.0f} s, {beat}")
        return Judgement("unsure", "" if silent is None else f"{beat}, watched for {quiet:.0f} s")

    def _out_of_sight(self, holder: Holder, silent: float | None) -> str:
        if silent is None or silent < self._frozen_after or holder.is_in_sight:
            return ""
        return f"no heartbeat for {silent:.0f} s; it is in another container or machine: look at it there"
