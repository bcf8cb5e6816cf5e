"""Whether the checkpoint of a tape's query can go on: lost, older, another lake's or grown long, it begins anew.

Nothing is lost or read twice by that: the tape says what is on it, and the checkpoint only numbers batches.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from kappa_assets.errors import LakeError, TapeGap
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.names import TableName
from kappa_assets.sources.source import Offsets, Range, Source
from kappa_assets.sources.standings import Standing

log = logging.getLogger("kappa_assets.sources")

_PUT_BACK = (
    "Nothing of the batch is written, and it stays so until the source is mended: what it gives once must be numbered "
    "once, without a hole, and the same at every try."
)


def begin_anew_if_needed(
    table: TableName, checkpoint: Checkpoint, standing: Standing | None, source: Source, why: str | None = None
) -> str | None:
    """Put the checkpoint aside where it cannot go on, and return why; None where it can.

    `standing`: how far the tape is with its source; None for a tape that has nothing of it. `why`: what the source
    has found.
    """
    if not checkpoint.path.exists():
        return None
    why = why or _why_not(checkpoint, standing, source)
    if why is not None:
        aside = checkpoint.retire()
        log.warning(
            "the checkpoint of %s %s; a new one begins, the tape says what was read, and the old one lies in %r",
            table,
            why,
            str(aside),
        )
    return why


def is_on_tape(number: int, checkpoint: str, standing: Standing | None) -> bool:
    """Return whether the batch with this number in this checkpoint is committed to the tape."""
    return standing is not None and standing.checkpoint == checkpoint and number <= standing.batch


def next_ranges(table: str, source: Source, offsets: Offsets) -> Mapping[str, Range]:
    """Return the ranges of a batch that is to be put on the tape. Raises TapeGap unless they go on where it stands."""
    ranges = source.ranges(offsets)
    for part, (since, until) in ranges.items():
        stands = offsets.stands.get(part, since)
        if until < since or since != stands:
            raise TapeGap(
                f"batch {offsets.number} of {table} has {part!r} from {since} to {until}, but the tape stands at "
                f"{stands}: {_fault(since, until, stands)}",
                hint=_PUT_BACK,
            )
    if gone := sorted(offsets.stands.keys() - ranges.keys()):
        raise TapeGap(
            f"batch {offsets.number} of {table} says nothing of {gone[0]!r}, of which the tape has all before "
            f"{offsets.stands[gone[0]]}: a part of the source is gone",
            hint=_PUT_BACK,
        )
    return ranges


def _fault(since: int, until: int, stands: int) -> str:
    if until < since:
        return "the source goes backwards"
    return "the source gives a delivery twice" if since < stands else "what lies between was never given"


def _why_not(checkpoint: Checkpoint, standing: Standing | None, source: Source) -> str | None:
    begun = checkpoint.newest_begun()
    try:
        mine = checkpoint.id()
    except LakeError:
        return None if begun is None else "does not say its id"
    if standing is not None and standing.checkpoint != mine and begun is not None:
        return "is not the one that the tape was written from"
    if standing is not None and standing.checkpoint == mine and (begun is None or begun < standing.batch):
        return f"is older than the tape, which has batch {standing.batch} of it"
    if _is_ahead(checkpoint, {} if standing is None else standing.stands, source):
        return "is ahead of the tape, which was put back from an earlier day"
    if source.longest is not None and begun is not None and begun >= source.longest:
        return f"has grown to {begun + 1} batches"
    return None


def _is_ahead(checkpoint: Checkpoint, stands: Mapping[str, int], source: Source) -> bool:
    """Return whether Spark has logged as done what is not on the tape."""
    done = checkpoint.newest_done()
    if done is None:
        return False
    ranges = source.ranges(Offsets(checkpoint, done, stands))
    return any(until > stands.get(part, since) for part, (since, until) in ranges.items())
