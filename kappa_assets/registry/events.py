"""The events of the registry, made in one place so that writer and `fold` agree on their fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from kappa_assets.registry.state import Event
from kappa_assets.table import TableName


def generation_created(
    table: TableName,
    number: int,
    code_version: str,
    *,
    upstream: int = 1,
    from_batch: int = 0,
    to_batch: int | None = None,
    kept_from: int | None = None,
    replay: str | None = None,
) -> Event:
    return _event(
        "generation_created",
        table=str(table),
        generation=number,
        code_version=code_version,
        upstream=upstream,
        from_batch=from_batch,
        to_batch=to_batch,
        kept_from=kept_from,
        replay=replay,
    )


def logic_forwarded(table: TableName, number: int, code_version: str) -> Event:
    return _event("logic_forwarded", table=str(table), generation=number, code_version=code_version)


def release_created(number: int, tables: Mapping[TableName, int], reason: str, *, replay: str | None = None) -> Event:
    return _event("release_created", release=number, tables=_names(tables), reason=reason, replay=replay)


def release_selected(number: int, reason: str) -> Event:
    return _event("release_selected", release=number, reason=reason)


def replay_started(
    replay: str,
    candidates: Mapping[TableName, int],
    plan: Mapping[str, Any],
    *,
    live: Mapping[TableName, int] | None = None,
) -> Event:
    return _event("replay_started", id=replay, candidates=_names(candidates), plan=dict(plan), live=_names(live or {}))


def replay_compared(replay: str, comparison: Mapping[str, Any]) -> Event:
    return _event("replay_compared", id=replay, comparison=dict(comparison))


def replay_held(replay: str) -> Event:
    return _event("replay_held", id=replay)


def replay_validated(replay: str) -> Event:
    return _event("replay_validated", id=replay)


def replay_promoted(replay: str) -> Event:
    return _event("replay_promoted", id=replay)


def replay_discarded(replay: str) -> Event:
    return _event("replay_discarded", id=replay)


def generation_expired(table: TableName, number: int) -> Event:
    return _event("generation_expired", table=str(table), generation=number)


def vacuumed(table: TableName, number: int, version: int) -> Event:
    return _event("vacuumed", table=str(table), generation=number, version=version)


def _event(kind: str, **body: Any) -> Event:
    return Event(dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), kind, body)


def _names(tables: Mapping[TableName, int]) -> dict[str, int]:
    return {str(table): number for table, number in sorted(tables.items())}
