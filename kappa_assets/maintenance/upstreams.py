"""Which table each generation reads, told by the registry and the generations' own logs, never by what is deployed.

A deployment may lack a table that readers see, or be of another pipeline altogether: what is deployed says nothing of
who still has to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kappa_assets.log.delta_log import last_note
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation, State

Key = tuple[TableName, int]
"""A table and the number of one of its generations."""
Upstreams = Mapping[Key, tuple[Key, ...]]
"""What each generation reads, of which that is known."""


def known_upstreams(lake: Lake, state: State) -> Upstreams:
    """Return the upstreams of each generation that is on disk.

    From the event that made it; for those of older versions, which did not say it, from the newest note in its log.
    """
    found: dict[Key, tuple[Key, ...]] = {}
    for key, generation in state.generations.items():
        reads = generation.reads or _noted(lake, generation)
        if reads is not None:
            found[key] = tuple((name, generation.generation_of(name)) for name in (reads, *generation.also_reads))
    return found


def may_read(generation: Generation, upstream: Key, known: Upstreams) -> bool:
    """Return whether a generation reads `upstream`; of one whose upstream is not known, whether it could.

    Such a one was made by a version of which Silver read tapes, and Gold Silvers.
    """
    surely = known.get((generation.table, generation.number))
    if surely is not None:
        return upstream in surely
    table, number = upstream
    if table.is_tape:
        return generation.table.layer is Layer.SILVER
    return table.layer is Layer.SILVER and generation.table.layer is Layer.GOLD and generation.upstream == number


def readers_of(state: State, upstream: Key, among: Iterable[Key], known: Upstreams) -> list[Generation]:
    """Return those of the generations `among` that read `upstream`, or may."""
    return [g for g in (state.generations[key] for key in sorted(among)) if may_read(g, upstream, known)]


def _noted(lake: Lake, generation: Generation) -> TableName | None:
    note = last_note(lake.table(generation.table, generation.number))
    names = [] if note is None else list(note[1].reads)
    return TableName.parse(names[0]) if len(names) == 1 else None
