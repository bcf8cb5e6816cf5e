"""The events of the registry, made in one place so that writer and `fold` agree on their fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from kappa_assets.names import TableName
from kappa_assets.place.registry.state import Event


def generation_created(  # noqa: PLR0913 - the fields of an event, given by name
    table: TableName,
    number: int,
    code_version: str,
    *,
    upstream: int = 1,
    from_batch: int = 0,
    to_batch: int | None = None,
    kept_from: int | None = None,
    replay: str | None = None,
    reads: TableName | None = None,
    also_reads: Mapping[TableName, int] | None = None,
) -> Event:
    """A table gets a new generation: its first when a host first meets the table, or a replay's candidate.

    Args:
        table: whose generation it is.
        number: the generation's number, one above the table's newest; never used again.
        code_version: of the logic that writes it.
        upstream: the generation of the upstream table that it reads, of several the first; 1 for a tape.
        from_batch: the first tape batch that it computes itself.
        to_batch: the last tape batch that it takes in, for a validation; None: it follows the tape.
        kept_from: the generation that rows before `from_batch` are taken over from; None when there are none.
        replay: the id of the replay that it is a candidate of; None for a first generation.
        reads: that upstream table. None in events of versions that did not say it: its own log then tells.
        also_reads: the generations of the other upstreams that it reads; None where there is one.
    """
    return _event(
        "generation_created",
        table=str(table),
        generation=number,
        code_version=code_version,
        reads=None if reads is None else str(reads),
        upstream=upstream,
        also_reads=_names(also_reads) if also_reads else None,
        from_batch=from_batch,
        to_batch=to_batch,
        kept_from=kept_from,
        replay=replay,
    )


def logic_forwarded(table: TableName, number: int, code_version: str) -> Event:
    """A live table that is declared with `on_change="forward"` goes on with other logic, from its next batch on.

    Args:
        table: the table.
        number: its live generation.
        code_version: of the logic that it goes on with.
    """
    return _event("logic_forwarded", table=str(table), generation=number, code_version=code_version)


def release_created(number: int, tables: Mapping[TableName, int], reason: str, *, replay: str | None = None) -> Event:
    """Readers see other generations from now on: new tables were met, or a replay is promoted. It is current at once.

    Args:
        number: the release's number, one above the newest.
        tables: the generation of every table, also of those that did not change.
        reason: why, in words for people.
        replay: the id of the replay that is promoted; None otherwise.
    """
    return _event("release_created", release=number, tables=_names(tables), reason=reason, replay=replay)


def release_selected(number: int, reason: str) -> Event:
    """Readers see an earlier release again, or a later one after that: a rollback.

    Args:
        number: the release that is current from now on.
        reason: what the person gave as the reason; may be empty.
    """
    return _event("release_selected", release=number, reason=reason)


def replay_started(
    replay: str,
    candidates: Mapping[TableName, int],
    plan: Mapping[str, Any],
    *,
    live: Mapping[TableName, int] | None = None,
) -> Event:
    """A replay begins to build its candidates, whose generations are created in the same commit.

    Args:
        replay: its id, such as `r20260105-120000-4f2a`.
        candidates: the generation that it builds of each of its tables.
        plan: what was asked for and what will be done, as `ReplayPlan.facts` gives it; shown to people.
        live: what was live of these tables then: a promotion that would replace anything else is refused.
    """
    return _event("replay_started", id=replay, candidates=_names(candidates), plan=dict(plan), live=_names(live or {}))


def replay_compared(replay: str, comparison: Mapping[str, Any]) -> Event:
    """The candidates were compared with the live tables; of several comparisons the newest counts.

    Args:
        replay: the replay's id.
        comparison: differences and `faults`, as `Comparison.facts` gives them; a fault is against a promotion.
    """
    return _event("replay_compared", id=replay, comparison=dict(comparison))


def replay_held(replay: str) -> Event:
    """The candidates are built and wait for a person: asked for so, or the comparison or the promotion refused.

    Args:
        replay: the replay's id.
    """
    return _event("replay_held", id=replay)


def replay_validated(replay: str) -> Event:
    """The candidates of a replay that never goes live are built and compared; they stay until discarded or old.

    Args:
        replay: the replay's id.
    """
    return _event("replay_validated", id=replay)


def replay_promoted(replay: str) -> Event:
    """The candidates are live: said in the commit of the release that shows them.

    Args:
        replay: the replay's id.
    """
    return _event("replay_promoted", id=replay)


def replay_discarded(replay: str) -> Event:
    """The replay is given up: by a person, by a newer one, or since its logic cannot be built. Its files go after that.

    Args:
        replay: the replay's id.
    """
    return _event("replay_discarded", id=replay)


def generation_expired(table: TableName, number: int) -> Event:
    """Maintenance found that nothing needs a generation; said before its first file is removed, and for ever.

    Args:
        table: the table.
        number: the generation that is removed.
    """
    return _event("generation_expired", table=str(table), generation=number)


def vacuumed(table: TableName, number: int, version: int) -> Event:
    """Maintenance removes files or log entries that a slow reader might have wanted; said before it does.

    Args:
        table: the table; of a tape too.
        number: its generation, 1 for a tape.
        version: the newest Delta version whose removed files, or whose entry, go. A reader must have read past it.
    """
    return _event("vacuumed", table=str(table), generation=number, version=version)


def loss_accepted(
    table: TableName,
    source: str,
    *,
    by: str,
    reason: str,
    missing: Mapping[str, str],
    stood: tuple[str | None, int],
    begins: Mapping[str, int],
    incarnation: str | None,
) -> Event:
    """A tape may pass over what its source has lost, from where it stands to where it goes on; said before it does.

    Args:
        table: the tape.
        source: which of its sources, by label.
        by: who has accepted it.
        reason: why, in words for people.
        missing: by part of the source, what is passed over, in words.
        stood: the checkpoint and the batch of what the tape has last of the source. It holds until the next commit.
        begins: by part, where the tape goes on.
        incarnation: the id of what is read from there on; None of a source that tells none.
    """
    return _event(
        "loss_accepted",
        table=str(table),
        source=source,
        by=by,
        reason=reason,
        missing=dict(missing),
        stood={"checkpoint": stood[0], "batch": stood[1]},
        begins=dict(begins),
        incarnation=incarnation,
    )


def _event(kind: str, **body: Any) -> Event:
    return Event(dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), kind, body)


def _names(tables: Mapping[TableName, int]) -> dict[str, int]:
    return {str(table): number for table, number in sorted(tables.items())}
