"""How far on a tape one generation reflects."""

from __future__ import annotations

from kappa_assets.commit import BEFORE_THE_TAPE, Position
from kappa_assets.delta_log import commits, last_note
from kappa_assets.lake import Lake
from kappa_assets.registry import Generation
from kappa_assets.table import Layer, TableName


def reached(lake: Lake, generation: Generation, upstream: TableName, bronze: TableName) -> Position:
    """Return the position a generation reflects; BEFORE_THE_TAPE when it has no commit yet.

    A table that has read everything its upstream holds is as far as the upstream, even if the upstream's last commits
    held no rows: those never reach a reader of its change feed.
    """
    found = last_note(lake.folder(generation.table, generation.number))
    if found is None:
        return BEFORE_THE_TAPE
    own = found[1].position.get(str(bronze), BEFORE_THE_TAPE)
    read = found[1].reads.get(str(upstream))
    if upstream.layer is Layer.BRONZE or read is None:
        return own
    above = lake.folder(upstream, generation.upstream)
    if any(c.adds_data or c.removes_data for c in commits(above, after=read.version)):
        return own
    newest = last_note(above)
    return own if newest is None else newest[1].position.get(str(bronze), own)
