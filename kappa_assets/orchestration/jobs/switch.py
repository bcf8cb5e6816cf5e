"""Whether a stream is wanted, as its run asks: the switch is the stream sensor, Terminate the run's own status."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus

log = logging.getLogger("kappa_assets.switch")

_ASK_EVERY = 2.0
_ENDING = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE})


class Switch:
    """Asked several times a second; looks every two seconds. Returns why to stop, or None.

    A run whose code server died is terminated by a status that nobody signals, so the status is looked at too.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        run_id: str,
        sensor: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._run_id = run_id
        self._sensor = sensor
        self._clock = clock
        self._next_look = 0.0
        self._answer: str | None = None
        self.terminated = False

    def __call__(self) -> str | None:
        if self._answer is None and self._clock() >= self._next_look:
            self._next_look = self._clock() + _ASK_EVERY
            try:
                self._answer = self._look()
            except Exception as error:  # noqa: BLE001 -- a locked or absent database must not stop the stream
                log.warning("Dagster's storage does not answer, the stream goes on: %s", error)
        return self._answer

    def _look(self) -> str | None:
        run = self._instance.get_run_by_id(self._run_id)
        if run is not None and run.status in _ENDING:
            self.terminated = True
            return f"its run is {run.status.value}"
        if self._sensor is not None and self._is_off(self._sensor, run):
            return f"the switch {self._sensor} is off"
        return None

    def _is_off(self, sensor: str, run: dg.DagsterRun | None) -> bool:
        """Return whether the sensor was stopped. One that was never touched runs by default and may have no state."""
        origin = None if run is None else run.remote_job_origin
        repository = None if origin is None else origin.repository_origin.get_selector_id()
        states = self._instance.all_instigator_state(
            repository_selector_id=repository, instigator_type=InstigatorType.SENSOR
        )
        return any(s.instigator_name == sensor and s.status is InstigatorStatus.STOPPED for s in states)
