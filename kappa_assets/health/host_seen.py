"""The host as others see it: who holds its lock, what it last said, and what its tapes have still to read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kappa_assets.host.host_status import HostStatus, QueryStatus
from kappa_assets.names import TableName
from kappa_assets.place.local.leases.lock import Holder
from kappa_assets.place.local.leases.machine import Moment


@dataclass(frozen=True)
class Unread:
    """What the sources of tapes have, and the tapes have not: records, and for how long there have been some."""

    records: int
    seconds: float


@dataclass(frozen=True)
class HostSeen:
    """The host as others see it: who holds the lock, and the last heartbeat of this or an earlier one."""

    holder: Holder | None
    status: HostStatus | None
    moment: Moment

    @property
    def heartbeat_age(self) -> float | None:
        """Seconds since the heartbeat of the host that lives; None when it does not speak."""
        return self.status.age(self.moment) if self.speaks and self.status is not None else None

    @property
    def speaks(self) -> bool:
        """Whether the heartbeat is that of the host that lives now."""
        return self.holder is not None and self.status is not None and self.status.pid == self.holder.pid

    def query(self, table: TableName) -> QueryStatus | None:
        """Return the last thing any host said about the table's query."""
        return self.status.query(str(table)) if self.status else None

    def unread(self, tapes: Iterable[TableName]) -> Unread | None:
        """Return what the living host says is unread of the sources of some tapes; None where none of them tells."""
        told = [query for tape in tapes if self.speaks and (query := self.query(tape)) and query.unread is not None]
        if not told:
            return None
        records = sum(sum(query.unread.values()) for query in told if query.unread is not None)
        return Unread(records, max(query.unread_seconds or 0.0 for query in told))
