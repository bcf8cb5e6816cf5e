"""What lies beside the tables of a lake, as a place hands it out: the checkpoints of queries, and the host's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class StoredCheckpoint(Protocol):
    """What Spark keeps for one streaming query, as a value."""

    @property
    def location(self) -> str:
        """Where Spark keeps it."""
        ...

    def entries(self, log: str) -> list[int]:
        """Return the numbers of the entries of one of its logs (`offsets`, `commits`), in any order."""
        ...

    def entry(self, log: str, number: int) -> str | None:
        """Return one entry; None when it is not there."""
        ...

    def metadata(self) -> str:
        """Return what Spark has written when it made the checkpoint. Raises OSError when it is not there."""
        ...

    def file_log(self) -> list[dict[str, Any]]:
        """Return the entries of the log of its one file source."""
        ...

    def clean_leftovers(self) -> list[str]:
        """Remove what a kill left of entries that were being written, and return it."""
        ...

    def retire(self) -> str:
        """Put all of it aside in one step, and return where it lies now."""
        ...

    def sync(self, names: Iterable[str]) -> None:
        """See to it that entries outlive a loss of power."""
        ...


class HostFiles(Protocol):
    """What the host of a lake says about itself: small texts by name."""

    def read(self, name: str) -> str:
        """Return what was said last. Raises OSError when nothing was."""
        ...

    def replace(self, name: str, text: str) -> None:
        """Say it anew; a reader sees the old or the new. Raises OSError."""
        ...

    def write_over(self, name: str, text: bytes) -> None:
        """Write over what was said before with as many bytes: a full disk takes it too. Raises OSError."""
        ...
