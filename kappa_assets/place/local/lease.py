"""A lease: the right to write tables, held by one process at a time, and the epoch that fences off whoever lost it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.errors import LakeBusy
from kappa_assets.place.change import Fence
from kappa_assets.place.local.epochs import next_epoch
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.lock import exclusive

_LEASE = "stream"
"""The lease under which a generation is fed: by a replay while it is built, then by the host."""


@dataclass(frozen=True)
class Lease:
    """A held lease, and the fence that it gave to who took it."""

    lake: Lake
    fence: Fence

    def renewed(self) -> Fence:
        """Return a fence with a new epoch, for tables that another process has written meanwhile under its lease."""
        return Fence(_LEASE, next_epoch(self.lake), raises=True)


@contextmanager
def lease(
    lake: Lake, lock: Path, purpose: str, *, busy: type[LakeBusy] = LakeBusy, run_id: str | None = None
) -> Iterator[Lease]:
    """Hold the lease whose lock is at `lock` for the block.

    The kernel gives the lock back with its process, so nobody can hold a lease twice, but who was taken for dead or had
    the lock's file taken away may not know. The holder before says in the file when it lets go. Where it did not, the
    new one has its epoch go into every table first. Raises `busy`, naming the holder; LakeError.
    """
    with exclusive(lock, purpose, busy=busy, run_id=run_id) as holder:
        yield Lease(lake, Fence(_LEASE, next_epoch(lake), raises=holder.unclean))
