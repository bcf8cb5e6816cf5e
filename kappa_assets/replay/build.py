"""Candidates built beside the live tables: earlier rows kept, the tape played, the same queries as live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from kappa_assets.errors import ReplayError
from kappa_assets.faults import fault_point
from kappa_assets.graph import Pipeline
from kappa_assets.host.assemble import query_of, tapes_of
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Setting
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.registry import Generation
from kappa_assets.replay.keep_rows import keep_rows
from kappa_assets.replay.tape_progress import Say, TapeProgress

Wanted = Callable[[], str | None]


@dataclass(frozen=True)
class Built:
    """What building one candidate took: rows of the tape that it took in, and seconds."""

    rows: int
    seconds: float

    def facts(self) -> dict[str, float]:
        """As it is stored in the registry, for the estimates of later plans."""
        return {"rows": self.rows, "seconds": round(self.seconds, 3)}


def build(
    setting: Setting, pipeline: Pipeline, candidates: list[Generation], progress: Say, wanted: Wanted
) -> dict[TableName, Built]:
    """Bring every candidate, upstream first, to the tape's end as of now, or to its own end.

    Calling it again goes on from there. Returns what was built in this call. Raises ReplayError when it is stopped.
    """
    tapes = tapes_of(setting, pipeline)
    built = {}
    for candidate in candidates:
        on = [tapes[name] for name in pipeline.tapes_of(candidate.table)]
        if _is_at_the_end(setting, candidate, on):
            continue  # starting a query to find nothing takes a second, in a promotion too
        query = query_of(setting, pipeline, candidate, tapes)
        before, began = _rows_taken_in(setting, candidate, on), time.monotonic()
        if candidate.kept_from is not None:
            query.prepare()
            keep_rows(setting, candidate, on[0], progress)
        ahead = sum(c.rows for tape in on for c in tape.commits(candidate.from_batch))
        watched = TapeProgress(setting.spark, query, ahead, progress, wanted)
        _drain(Runner(query), watched)
        if (reason := wanted()) is not None:
            raise ReplayError(f"the replay was stopped: {reason}", hint="Launch the same again, and it goes on.")
        done = Built(_rows_taken_in(setting, candidate, on) - before, time.monotonic() - began)
        built[candidate.table] = done
        if done.rows:
            progress(f"{candidate.table} g{candidate.number}: {done.rows:,} rows in {done.seconds:.1f} s")
        fault_point("building", str(candidate.table))
    return built


def _drain(runner: Runner, wanted: Wanted) -> None:
    """Run a query until it has caught up; interrupted by a Terminate, it ends after its batch, still under our lock."""
    try:
        runner.drain(wanted)
    except KeyboardInterrupt:  # the second Ctrl-C: at once
        raise
    except BaseException:
        with suppress(Exception):  # the JVM may be what died
            runner.stop()
        raise


def _is_at_the_end(setting: Setting, candidate: Generation, on: list[Tape]) -> bool:
    reached = (position_of(setting.lake, tape, candidate.table, candidate.number) for tape in on)
    return all(position >= tape.head() for position, tape in zip(reached, on, strict=True))


def _rows_taken_in(setting: Setting, candidate: Generation, on: list[Tape]) -> int:
    """Return how many rows of its tapes, from where it computes itself, the candidate reflects."""
    rows = 0
    for tape in on:
        position = position_of(setting.lake, tape, candidate.table, candidate.number)
        position = tape.bounded(position, candidate.to_batch)  # its upstream may go on behind a validation's end
        rows += sum(c.rows for c in tape.commits(candidate.from_batch, position.batch))
    return rows
