"""A loss accepted: what a tape's source does not have any more is said, recorded, and passed over by the tape.

What is recorded holds for the place where the tape stands, and for that alone: with the next commit from the source it
is over. So it is taken once, whatever dies before that commit, and what is lost later stops the tape again.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass

from kappa_assets.declare.source import DeclaredSource
from kappa_assets.declare.tables import Bronze
from kappa_assets.errors import LossRefused
from kappa_assets.kinds.query import Setting
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.log.tape import Tape
from kappa_assets.place.registry import Event, Registry, events
from kappa_assets.sources.source import Lost
from kappa_assets.sources.standings import Standing


@dataclass(frozen=True)
class Loss:
    """What one source of a tape has lost of what the tape needs, and where the tape stands."""

    source: str
    stands: Standing
    lost: Lost


def losses_of(setting: Setting, bronze: Bronze, source: str | None = None) -> tuple[Loss, ...]:
    """Return what a tape's sources have lost, and nobody has accepted yet; of one of them where `source` says which.

    Raises LossRefused when that is nothing, or none of them can lose anything; SourceError when nobody can be asked.
    """
    meant = [one for one in bronze.sources if source in (None, one.label)]
    queries = [(one, TapeQuery(setting, bronze, Tape(setting.lake, bronze.name), source=one)) for one in meant]
    can_lose = [(one, query) for one, query in queries if query.may_lose]
    if not can_lose:
        raise LossRefused(
            f"{bronze.name} reads {', '.join(one.described for one in meant)}, which is no topic: it loses nothing "
            "that a tape could pass over",
            hint="What landed and cannot be read is set aside by itself: kappa rejects lists it.",
        )
    found = [loss for one, query in can_lose if (loss := _loss(one, query)) is not None]
    if not found:
        raise LossRefused(
            f"{bronze.name} has all that it needs: {', '.join(one.label for one, _ in can_lose)} has lost nothing of "
            "it, or somebody has accepted it already",
            hint="kappa status tells what was accepted, and why a tape has stopped.",
        )
    return tuple(found)


def accept_losses(setting: Setting, bronze: Bronze, losses: tuple[Loss, ...], *, by: str, reason: str) -> None:
    """Record that a tape may pass over exactly these losses. Its query goes on there when it is started next."""
    Registry(setting.lake).add(*(_accepted(bronze, loss, by, reason) for loss in losses))


def who() -> str:
    """Return who asks: the user of this process, and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "a user without a name"
    return f"{user}@{socket.gethostname()}"


def _loss(declared: DeclaredSource, query: TapeQuery) -> Loss | None:
    found = query.lost()
    return None if found is None else Loss(declared.label, *found)


def _accepted(bronze: Bronze, loss: Loss, by: str, reason: str) -> Event:
    return events.loss_accepted(
        bronze.name,
        loss.source,
        by=by,
        reason=reason,
        missing=loss.lost.missing,
        stood=(loss.stands.checkpoint, loss.stands.batch),
        begins=loss.lost.begins,
        incarnation=loss.lost.incarnation,
    )
