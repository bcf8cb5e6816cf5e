"""What commits say of how much their batches read, under names that plot: beside what landed, it tells what is dear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kappa_assets.log.delta_log import Commit


def reads_told(commits: Iterable[Commit]) -> dict[str, int]:
    """Return rows and bytes read, files opened, rows landed and groups touched, of all commits that note them.

    A name that none of them notes is left out: what is not known is not 0. What a repair or a release repeats of the
    commit before it counts once.
    """
    found: Counter[str] = Counter()
    for note in (commit.note for commit in commits):
        if note is None or not note.reads_on:
            continue
        scanned = note.scanned
        told = {
            "rows_read": None if scanned is None else scanned.rows,
            "bytes_read": None if scanned is None else scanned.bytes,
            "files_opened": None if scanned is None else scanned.files,
            "rows_landed": note.landed,
            "groups": note.touched.get("groups"),
        }
        found.update({name: number for name, number in told.items() if number is not None})
    return dict(found)
