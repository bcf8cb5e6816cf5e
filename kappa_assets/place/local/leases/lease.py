"""The leases of a lake: the right to do a work, held by one process at a time, with an epoch that fences off the rest.

Outside of the place nobody takes a lock: who works holds a lease, and who commits waits for a table's turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.errors import HostRunning, LakeBusy, MaintenanceRunning, PromotionRunning, ReplayRunning
from kappa_assets.place.change import Fence
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.epochs import next_epoch
from kappa_assets.place.local.leases.lock import Holder, end_holder, exclusive, holder

_FEEDS = "stream"
"""The fence of a generation that is fed: by a replay while it is built, then by the host."""


@dataclass(frozen=True)
class LeaseOf:
    """One of a lake's leases: where its lock lies, and the error when another process has it."""

    file: str
    busy: type[LakeBusy]

    def lock(self, lake: Lake) -> Path:
        """Return the file whose lock its holder has."""
        return lake.system / self.file


HOST = LeaseOf("host/lock", HostRunning)
"""Of the one process that keeps the queries of a lake going."""
REPLAYS = LeaseOf("replay.lock", ReplayRunning)
"""Of whoever builds, promotes or discards candidates."""
PROMOTION = LeaseOf("promotion.lock", PromotionRunning)
"""Of a promotion while it drains the last of the tape; the host stands aside meanwhile."""
MAINTENANCE = LeaseOf("maintenance.lock", MaintenanceRunning)


@dataclass(frozen=True)
class Lease:
    """A held lease, and the fence that it gave to who took it."""

    lake: Lake
    fence: Fence

    def renewed(self) -> Fence:
        """Return a fence with a new epoch, for tables that another process has written meanwhile under its lease."""
        return Fence(_FEEDS, next_epoch(self.lake), raises=True)


@contextmanager
def lease(lake: Lake, of: LeaseOf, purpose: str, *, run_id: str | None = None) -> Iterator[Lease]:
    """Hold a lease for the block.

    The kernel gives its lock back with its process, so nobody can hold it twice, but who was taken for dead, or had the
    lock's file taken away, may not know. The holder before says in the file when it lets go. Where it did not, the new
    one has its epoch go into every table first. Raises the lease's error, naming the holder; LakeError.
    """
    with exclusive(of.lock(lake), purpose, busy=of.busy, run_id=run_id) as taken:
        yield Lease(lake, Fence(_FEEDS, next_epoch(lake), raises=taken.unclean))


def holder_of(lake: Lake, of: LeaseOf) -> Holder | None:
    """Return who holds a lease now, or None. Never waits, and takes nothing."""
    return holder(of.lock(lake))


def end_holder_of(lake: Lake, of: LeaseOf, whom: Holder | None = None) -> Holder | None:
    """End the process that holds a lease, and return who it was. With `whom`, only if that one still holds it.

    Raises HostRunning when it lives on.
    """
    return end_holder(of.lock(lake), whom)
