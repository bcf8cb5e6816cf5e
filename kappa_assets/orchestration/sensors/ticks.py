"""What all ticks share: how often they come, and the Dagster instance, opened once in a code server and kept."""

from __future__ import annotations

import threading

import dagster as dg
from dagster._core.instance import InstanceRef

TICK_SECONDS = 30
"""Seconds between two ticks of a sensor, Dagster's own default.

No stream waits for a tick: it is how soon the UI knows, and how soon a dead host is missed. A tick costs Dagster about
100 ms of CPU in three processes, whatever it finds, and commits of one slice between two ticks are told in one event:
at 5 seconds, daemon and sensors took three times as much.
"""


class _Kept:
    """The newest instance that was opened, and what it was opened from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: tuple[InstanceRef, dg.DagsterInstance] | None = None

    def open(self, ref: InstanceRef) -> dg.DagsterInstance:
        with self._lock:
            if self._opened is None or self._opened[0] != ref:
                self._opened = ref, dg.DagsterInstance.from_ref(ref)
            return self._opened[1]


_KEPT = _Kept()


def instance_of(context: dg.SensorEvaluationContext) -> dg.DagsterInstance:
    """Return the instance a tick belongs to.

    `context.instance` opens one anew in every tick: 60 to 100 ms of CPU, and as much again at its first event, which is
    most of what a tick with nothing new costs (measured with SQLite). The daemon keeps its own in the same way.
    """
    ref = context.instance_ref
    return context.instance if ref is None else _KEPT.open(ref)
