"""What the host says about itself, for sensors and `kappa status`.

Two files: `status.json`, replaced as a whole, says how every table does; `beat`, of a fixed size and written over in
place, says that the host lives. The beat needs no space: a full disk must not make a healthy host look dead.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import HOST, holder_of
from kappa_assets.place.local.leases.lock import Holder
from kappa_assets.place.local.leases.machine import Moment

QueryState = Literal["waiting", "running", "backoff", "parked", "held", "stopped"]
FROZEN_AFTER = 60.0
"""Seconds without a heartbeat after which it is asked whether a host that holds the lock is frozen."""
_BEAT_BYTES = 256
_WORST_FIRST: tuple[QueryState, ...] = ("parked", "backoff", "held", "stopped", "waiting", "running")


@dataclass(frozen=True)
class QueryStatus:
    """How one table's query is doing. `error` is the last failure, first line first.

    `source`: of a tape with several, which of them the query reads. `unread`: by part of its source, how many records
    it had when Spark last looked that are not taken yet; None where the source does not tell. `unread_seconds`: how
    long there have been some, without a break.
    """

    table: str
    generation: int
    state: QueryState
    error: str | None = None
    failures: int = 0
    batch: int | None = None
    batch_seconds: float | None = None
    source: str | None = None
    unread: Mapping[str, int] | None = None
    unread_seconds: float | None = None


@dataclass(frozen=True)
class HostStatus:
    """One heartbeat of a host."""

    pid: int
    mode: str
    at: str
    started_at: str
    release: int | None
    queries: tuple[QueryStatus, ...]
    run_id: str | None = None
    ended: str | None = None
    """Why it stopped, once it has."""

    boot: str | None = None
    uptime: float | None = None
    """When it was written, by the clock that nobody sets; None from an older version."""

    def query(self, table: str) -> QueryStatus | None:
        """Return how a table does: of several sources the query that does worst, with what all of them have unread."""
        mine = [query for query in self.queries if query.table == table]
        worst = min(mine, key=lambda query: _WORST_FIRST.index(query.state), default=None)
        if worst is None or len(mine) == 1:
            return worst
        told = {f"{q.source} {part}": n for q in mine if q.unread for part, n in q.unread.items()}
        longest = max((q.unread_seconds for q in mine if q.unread_seconds is not None), default=None)
        return replace(worst, unread=told or None, unread_seconds=longest)

    def age(self, now: Moment) -> float:
        """Return the seconds since this heartbeat; by the wall clock only where the other one does not tell."""
        if self.uptime is None or self.boot != now.boot:
            return max(0.0, now.wall - dt.datetime.fromisoformat(self.at).timestamp())
        return max(0.0, now.uptime - self.uptime)


@dataclass(frozen=True)
class Beat:
    """A sign of life: the host's process beat for the `count`th time."""

    pid: int
    count: int
    boot: str
    uptime: float
    ended: bool = False

    def is_of(self, holder: Holder) -> bool:
        """Return whether the holder of the lock wrote it: not a host before it, nor one before the machine's boot."""
        return self.pid == holder.pid and self.boot == holder.boot

    def age(self, now: Moment) -> float:
        """Return the seconds since it; infinite since an earlier boot."""
        return max(0.0, now.uptime - self.uptime) if self.boot == now.boot else float("inf")


def write_status(lake: Lake, status: HostStatus) -> None:
    """Replace what the host last said of its tables. Raises OSError when the disk does not take it."""
    lake.host_files.replace("status.json", json.dumps(asdict(status)))


def read_status(lake: Lake) -> HostStatus | None:
    """Return the last heartbeat of the last host, or None when there never was one.

    While its disk was full, what it says of its tables is older than the heartbeat.
    """
    try:
        body: Mapping[str, object] = json.loads(lake.host_files.read("status.json"))
    except (OSError, ValueError):
        return None
    queries = tuple(QueryStatus(**q) for q in body["queries"])  # type: ignore[attr-defined]  # our own JSON
    status = HostStatus(**{**body, "queries": queries})  # type: ignore[arg-type]  # our own JSON
    beat = read_beat(lake)
    if beat is None or (beat.pid, beat.boot) != (status.pid, status.boot) or beat.uptime < (status.uptime or 0.0):
        return status
    ended = status.ended or ("it could not say why" if beat.ended else None)
    return replace(status, uptime=beat.uptime, ended=ended)


def write_beat(lake: Lake, beat: Beat) -> None:
    """Write the beat over the one before: no space is needed once the file is there. Raises OSError."""
    lake.host_files.write_over("beat", json.dumps(asdict(beat)).encode().ljust(_BEAT_BYTES))


def read_beat(lake: Lake) -> Beat | None:
    """Return the last beat of the last host; None when there never was one, or it is just being written."""
    try:
        return Beat(**json.loads(lake.host_files.read("beat")))
    except (OSError, ValueError, TypeError):
        return None


def host_alive(lake: Lake) -> Holder | None:
    """Return who holds the host's lock, or None when no host lives."""
    return holder_of(lake, HOST)
