"""Whether the stream sensor asks for a run, decided from what was seen: a pure function, so each state has its test."""

from __future__ import annotations

from dataclasses import dataclass, field

from kappa_assets.host.host_status import HostStatus
from kappa_assets.host.host_watch import Judgement
from kappa_assets.place.local.leases.lock import Holder
from kappa_assets.place.local.leases.machine import Moment

FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""Seconds before a new try after the first failure, doubled with each, up to the longest."""
GIVE_UP_AFTER = 5
"""Failures in a row after which a person has to look."""
HEALTHY = 120.0
"""A run that streamed for so many seconds before it failed was no failed start: counting begins anew."""
BOOTING = 120.0
"""Seconds that a started run may take to get the lake's lock, or to end after it let go: JVMs are slow."""
_GONE = 10.0
"""Seconds given to Dagster to notice by itself that a run's process has let go of the lock without a last word."""


@dataclass(frozen=True)
class RunSeen:
    """One run of the stream job, as Dagster's storage tells it. Times are seconds since 1970."""

    id: str
    status: str
    created: float
    started: float | None = None
    ended: float | None = None
    terminated: float | None = None
    """When somebody asked to terminate it."""

    @property
    def is_open(self) -> bool:
        """Whether Dagster believes that it is under way or about to be."""
        return self.status not in ("SUCCESS", "FAILURE", "CANCELED")

    @property
    def is_healthy_failure(self) -> bool:
        """Whether it streamed so long before it failed that its start was no failure."""
        return self.ended is not None and self.started is not None and self.ended - self.started >= HEALTHY


@dataclass(frozen=True)
class Seen:
    """Everything the decision stands on."""

    moment: Moment
    holder: Holder | None
    """Who holds the lake's lock: a living host, whatever Dagster believes of its run."""
    judged: Judgement
    """What the kernel tells of that host."""
    status: HostStatus | None
    runs: tuple[RunSeen, ...]
    """The latest runs, newest first."""
    switched_on: float | None
    last_error: str = ""

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.moment.wall


@dataclass(frozen=True)
class Decision:
    """What to do, and the reason people read. `ask` is the run key of the run to ask for."""

    reason: str
    ask: str | None = None
    fail: dict[str, str] = field(default_factory=dict)
    """Runs that Dagster believes alive and are not, with the reason."""


def decide(seen: Seen) -> Decision:
    """Return whether to ask for a run. Never asks while a host lives, or a run is on its way."""
    dead = {r.id: why for r in seen.runs if r.is_open and (why := _why_dead(seen, r)) is not None}
    frozen = seen.judged.verdict == "frozen"
    if seen.holder is not None and not frozen:
        return Decision(_alive(seen), fail=dead)
    if seen.holder is not None:
        of_host = (r.id for r in seen.runs if r.is_open and r.id == seen.holder.run_id)
        dead |= {run_id: f"its host is frozen: {_frozen(seen)}; a new one ends it" for run_id in of_host}
    coming = next((r for r in seen.runs if r.is_open and r.id not in dead), None)
    if coming is not None:
        return Decision(f"{_short(coming.id)} is {coming.status.lower()}; no host holds the lake yet", fail=dead)
    if seen.holder is not None:
        key = f"frozen/{seen.holder.pid}/{seen.holder.started}/{seen.runs[0].id if seen.runs else ''}"
        return Decision(f"the host is frozen: {_frozen(seen)}; a new one ends it", ask=key, fail=dead)
    return _after_the_last(seen, dead)


def _after_the_last(seen: Seen, dead: dict[str, str]) -> Decision:
    """Decide with no host and no run on its way: by how the last run ended."""
    on = seen.switched_on or 0.0
    last = seen.runs[0] if seen.runs else None
    key = f"after/{last.id if last else 'nothing'}/{on:.0f}"
    if last is None:
        return Decision("no host lives, and there never was a run", ask=key)
    status = "FAILURE" if last.id in dead else last.status
    if status == "CANCELED" and on <= (last.terminated or last.ended or last.created):
        return Decision(f"{_short(last.id)} was terminated, and stays so; turn the switch off and on to stream again")
    if status == "FAILURE":
        return _after_failures(seen, last, key, dead)
    return Decision(f"no host lives; {_short(last.id)} ended ({status.lower()})", ask=key, fail=dead)


def _after_failures(seen: Seen, last: RunSeen, key: str, dead: dict[str, str]) -> Decision:
    failures = _failures_in_a_row(seen, dead)
    error = f": {seen.last_error}" if seen.last_error else ""
    if failures >= GIVE_UP_AFTER:
        return Decision(
            f"{failures} runs in a row failed, the last {_short(last.id)}{error}. "
            "No more are asked for; mend the cause, then turn the switch off and on",
            fail=dead,
        )
    wait = 0.0 if failures == 0 else min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
    since = last.ended or (seen.now if last.id in dead else last.created)
    due = since + wait
    if since <= seen.now < due:  # a clock that was set back since tells nothing of how long ago it failed
        return Decision(
            f"{_short(last.id)} failed, {failures} in a row; next try in {due - seen.now:.0f} s{error}", fail=dead
        )
    return Decision(f"no host lives; {_short(last.id)} failed{error}", ask=key, fail=dead)


def _failures_in_a_row(seen: Seen, dead: dict[str, str]) -> int:
    """Count the newest failures since the switch was turned on, back to one that had streamed well before."""
    count = 0
    for run in seen.runs:
        if run.created < (seen.switched_on or 0.0) or (run.status != "FAILURE" and run.id not in dead):
            break
        count += 1
        if run.is_healthy_failure:
            break
    return count


def _why_dead(seen: Seen, run: RunSeen) -> str | None:
    """Return why a run that Dagster believes alive is not, or None: the kernel lets go of its lock with the process."""
    if run.status not in ("STARTED", "CANCELING") or (seen.holder is not None and seen.holder.run_id == run.id):
        return None
    beat = seen.status if seen.status is not None and seen.status.run_id == run.id else None
    if beat is None:
        silent = seen.now - (run.started or run.created)
    else:
        silent = beat.age(seen.moment)
        if beat.ended is None and silent > _GONE:
            return f"its process {beat.pid} let go of the lake's lock without a word, {silent:.0f} s after its last one"
    if silent > BOOTING:
        return f"it does not hold the lake's lock, {silent:.0f} s after its last sign of life"
    return None


def _alive(seen: Seen) -> str:
    """Say who streams, and which tables do not move."""
    beat = seen.status if seen.status and seen.holder and seen.status.pid == seen.holder.pid else None
    stuck = [q for q in (beat.queries if beat else ()) if q.state in ("held", "parked", "backoff")]
    told = [f"{q.table} is {q.state}: {(q.error or '').splitlines()[0] if q.error else '?'}" for q in stuck]
    odd = [seen.judged.remark] if seen.judged.remark else []
    return "; ".join([f"a host lives: {seen.holder}", *odd, *told])


def _frozen(seen: Seen) -> str:
    return f"{seen.holder}: {seen.judged.remark}"


def _short(run_id: str) -> str:
    return f"run {run_id.partition('-')[0]}"
