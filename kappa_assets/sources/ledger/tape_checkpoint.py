"""Whether the checkpoint of a tape's query can go on: lost, older, another lake's or grown long, it begins anew.

Nothing is lost or read twice by that: the tape says what is on it, and the checkpoint only numbers batches.
"""

from __future__ import annotations

import logging

from kappa_assets.errors import LakeError
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.note import CommitNote
from kappa_assets.names import TableName
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans

log = logging.getLogger("kappa_assets.sources")

LONGEST = 2_000
"""Batches of one checkpoint. Spark keeps a line of each for ever, and writes all lines anew every tenth batch."""


def begin_anew_if_needed(table: TableName, checkpoint: Checkpoint, newest: CommitNote | None) -> str | None:
    """Put the checkpoint aside where it cannot go on, and return why; None where it can.

    `newest`: the note of the tape's newest batch; None for a tape without one.
    """
    if not checkpoint.path.exists():
        return None
    why = _why_not(checkpoint, newest)
    if why is not None:
        aside = checkpoint.retire()
        log.warning(
            "the checkpoint of %s %s; a new one begins, the tape says what was read, and the old one lies in %r",
            table,
            why,
            str(aside),
        )
    return why


def is_on_tape(number: int, checkpoint: str, newest: CommitNote | None) -> bool:
    """Return whether the batch with this number in this checkpoint is committed to the tape."""
    return newest is not None and newest.checkpoint == checkpoint and number <= newest.batch


def _why_not(checkpoint: Checkpoint, newest: CommitNote | None) -> str | None:
    begun = checkpoint.newest_begun()
    if begun is not None and not DeliveryPlans(checkpoint).folder.is_dir():
        return "is of an earlier version, which knew files by their whole paths"
    try:
        mine = checkpoint.id()
    except LakeError:
        return None if begun is None else "does not say its id"
    if newest is not None and newest.checkpoint != mine and begun is not None:
        return "is not the one that the tape was written from"
    if newest is not None and newest.checkpoint == mine and (begun is None or begun < newest.batch):
        return f"is older than the tape, which has batch {newest.batch} of it"
    if DeliveryPlans(checkpoint).was_moved():
        return "was moved, and Spark knows plans by their whole paths"
    if begun is not None and begun >= LONGEST:
        return f"has grown to {begun + 1} batches"
    return None
