"""A table's log kept short: entries that a checkpoint replaces and nobody still has to read are removed.

Spark lists the whole folder each time it looks for new data, so every entry costs every batch of every reader.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from kappa_assets.place.local.log_files import is_checkpoint, log_entries, version_of
from kappa_assets.place.upkeep import Unneeded

_SETTLED = dt.timedelta(days=1)
"""Age after which a checkpoint or checksum that a newer one replaces goes: a reader that has just opened the table may
still be at it."""


def find_old_entries(folder: Path, bound: int, now: dt.datetime) -> Unneeded:
    """Return what may go of a table's log when everything from version `bound` on must stay readable.

    Commits before the newest checkpoint at or before `bound`; and, after a day, the checksums that newer ones replace,
    and all but the last checkpoint of each day.
    """
    entries = log_entries(folder)
    checkpoints = [v for v, files in entries.items() if any(map(is_checkpoint, files))]
    if not checkpoints:
        return Unneeded({}, sum(map(len, entries.values())), -1)
    base = max((v for v in checkpoints if v <= bound), default=-1)
    found = [path for v, files in entries.items() if v < base for path in files]
    found += [p for p in _replaced(entries, checkpoints, base) if _is_settled(p, now)]
    cleaned = [v for v, files in entries.items() if v < base and any(p.suffix == ".json" for p in files)]
    kept = sum(map(len, entries.values())) - len(found)
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(found, key=version_of)}
    return Unneeded(sizes, kept, max(cleaned, default=-1))


def _replaced(entries: dict[int, list[Path]], checkpoints: list[int], base: int) -> list[Path]:
    """Return checkpoints from `base` on that a newer one of their day replaces, and checksums before the newest one."""
    last_of_day: dict[dt.date, int] = {}
    for version in checkpoints:
        path = next(filter(is_checkpoint, entries[version]))
        last_of_day[_written(path).date()] = version
    stay = {base, *checkpoints[-2:], *last_of_day.values()}
    found = []
    for version, files in entries.items():
        if version < base:
            continue
        found += [p for p in files if is_checkpoint(p) and version not in stay]
        found += [p for p in files if p.suffix == ".crc" and version < checkpoints[-1]]
    return found


def _written(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _is_settled(path: Path, now: dt.datetime) -> bool:
    return _written(path) < now - _SETTLED
