"""What the host says about itself, for sensors and `kappa status`: a small file, replaced as a whole."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kappa_assets.lake import Lake
from kappa_assets.lock import Holder, holder

QueryState = Literal["waiting", "running", "backoff", "parked", "held", "stopped"]
FROZEN_AFTER = 60.0
"""Seconds without a heartbeat after which a host that holds the lock counts as frozen."""


@dataclass(frozen=True)
class QueryStatus:
    """How one table's query is doing. `error` is the last failure, first line first."""

    table: str
    generation: int
    state: QueryState
    error: str | None = None
    failures: int = 0
    batch: int | None = None
    batch_seconds: float | None = None


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

    @property
    def age(self) -> float:
        """Seconds since this heartbeat."""
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(self.at)).total_seconds()


def lock_path(lake: Lake) -> Path:
    return lake.host / "lock"


def promotion_lock(lake: Lake) -> Path:
    """Held by a promotion while it drains the last of the tape; the host stands aside meanwhile."""
    return lake.system / "promotion.lock"


def write_status(lake: Lake, status: HostStatus) -> None:
    path = lake.host / "status.json"
    fresh = path.with_name(f".status.{os.getpid()}")
    fresh.write_text(json.dumps(asdict(status)))
    fresh.replace(path)


def read_status(lake: Lake) -> HostStatus | None:
    """Return the last heartbeat of the last host, or None when there never was one."""
    try:
        body: Mapping[str, object] = json.loads((lake.host / "status.json").read_text())
    except (OSError, ValueError):
        return None
    queries = tuple(QueryStatus(**q) for q in body["queries"])  # type: ignore[attr-defined]  # our own JSON
    return HostStatus(**{**body, "queries": queries})  # type: ignore[arg-type]  # our own JSON


def host_alive(lake: Lake) -> Holder | None:
    """Return who holds the host's lock, or None when no host lives."""
    return holder(lock_path(lake))
