"""A replay given up: the registry says so first, then all that it wrote is removed."""

from __future__ import annotations

from kappa_assets.errors import ReplayError
from kappa_assets.maintenance.gate import Gate
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import REPLAYS, lease
from kappa_assets.place.registry import Registry, events


def discard_replay(lake: Lake, replay_id: str) -> None:
    """Give up a replay that is not promoted, and remove all it wrote. Raises ReplayError, ReplayRunning."""
    with lease(lake, REPLAYS, f"discard of {replay_id}"):
        discard_candidates(lake, Registry(lake), replay_id)


def discard_candidates(lake: Lake, registry: Registry, replay_id: str) -> None:
    """Do what `discard_replay` says; the caller holds the replay lock.

    What a discard that died left behind is removed by discarding again.
    """
    replay = registry.state().replays.get(replay_id)
    if replay is None or replay.state == "promoted":
        raise ReplayError(
            f"there is no replay {replay_id!r} to discard", hint="Promoted ones are undone by kappa rollback."
        )
    if replay.state != "discarded":
        registry.add(events.replay_discarded(replay_id))
    gate = Gate(lake)
    for table, number in replay.candidates.items():
        gate.remove_generation(table, number)
        _remove_rejects(lake, table, number)


def _remove_rejects(lake: Lake, table: TableName, number: int) -> None:
    """Take a candidate's rows out of the side table, between two commits of the stream that shares it."""
    lake.set_aside(table).take_out("generation", number)
