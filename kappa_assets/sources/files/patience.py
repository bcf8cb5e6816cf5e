"""Landed files that cannot be read for the moment: their batch waits, and after some tries goes on without them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kappa_assets.errors import SourceError
from kappa_assets.sources.files.inspect_files import SetAside
from kappa_assets.sources.ledger.ledger import Delivery

TRIES = 20
"""A host that streams makes them in about eight minutes, for a shop's chmod or a mount that comes back. Longer, and one
file keeps all others waiting."""


@dataclass(frozen=True)
class Patience:
    """How often the one micro-batch that is being tried has met each unreadable file. Kept beside its checkpoint."""

    path: Path

    def wait_for(self, batch: int, aside: Iterable[SetAside]) -> tuple[SetAside, ...]:
        """Return the files to set aside, when each that may be readable later has been tried often enough.

        Raises SourceError, and counts the try, while one has not.
        """
        found = tuple(aside)
        unreadable = [a for a in found if a.for_now]
        if not unreadable:
            return found
        tried = self._tried(batch)
        now = {a.file: tried.get(a.file, 0) + 1 for a in unreadable}
        self._keep(batch, tried | now)
        waiting = [a for a in unreadable if now[a.file] < TRIES]
        if waiting:
            first = waiting[0]
            others = f", and {len(waiting) - 1} others" if len(waiting) > 1 else ""
            raise SourceError(
                f"{first.file!r} {first.reason} (try {now[first.file]} of {TRIES}){others}",
                hint="Mend its rights, the disk or the mount, and reading goes on by itself. After the last try it is "
                "set aside, and `kappa deliveries <table> --again` takes it again.",
            )
        ended = (replace(a, reason=f"{a.reason}, in {TRIES} tries", for_now=False) for a in found if a.for_now)
        return (*(a for a in found if not a.for_now), *ended)

    def _tried(self, batch: int) -> dict[str, int]:
        try:
            noted = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return dict(noted["tries"]) if noted["batch"] == batch else {}

    def _keep(self, batch: int, tries: dict[str, int]) -> None:
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(json.dumps({"batch": batch, "tries": tries}))
        fresh.replace(self.path)


def written_again(folder: Path, read: Iterable[Delivery]) -> tuple[SetAside, ...]:
    """Return the files that were written again while they were read: nobody knows which bytes are on the tape then.

    One that is gone meanwhile was read, or it would have been set aside.
    """
    found = []
    for one in read:
        with suppress(OSError):
            if not one.is_as((folder / one.file).stat()):
                path = str(folder.absolute() / one.file)
                found.append(SetAside(path, "was written again while it was read", for_now=True))
    return tuple(found)
