"""Files that changed after they were read: a shop that rewrites a file loses what it wrote second."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from kappa_assets.delta_log import Commit, read_actions

_RECENT = dt.timedelta(days=1)
_COMMITS = 200
"""Newest commits looked at, so that a first look at a busy tape stays cheap."""
_FILES = 500
"""Newest files compared with the landing folder in each look."""


class LandedFiles:
    """The newest files a tape was written from, with the size each had when it was read."""

    def __init__(self, bronze: Path, landing: Path) -> None:
        self._bronze = bronze
        self._landing = landing
        self._pending: deque[Commit] = deque(maxlen=_COMMITS)
        self._sizes: dict[str, tuple[int, dt.datetime]] = {}

    def add(self, commits: list[Commit]) -> None:
        """Note commits of the tape; they are read when `changed` is asked next."""
        self._pending.extend(c for c in commits if c.adds_data)

    def changed(self, now: dt.datetime) -> list[Mapping[str, object]]:
        """Return the files read within the last day whose size in the landing folder is another one now."""
        while self._pending:
            commit = self._pending.popleft()
            if now - commit.at < _RECENT:
                for name, size in _sources(self._bronze, commit.version):
                    self._sizes.pop(name, None)
                    self._sizes[name] = size, commit.at
        for name in list(self._sizes)[:-_FILES]:
            del self._sizes[name]
        return [
            {"file": name, "bytes_read": size, "bytes_now": there, "read_at": at}
            for name, (size, at) in self._sizes.items()
            if now - at < _RECENT and (there := self._size(name)) not in (None, size)
        ]

    def _size(self, name: str) -> int | None:
        try:
            return (self._landing / name).stat().st_size
        except OSError:
            return None


def _sources(bronze: Path, version: int) -> Iterator[tuple[str, int]]:
    """Yield name and size of each source file of one Bronze version; none once its data was compacted."""
    for path in _added(bronze, version):
        try:
            with pq.ParquetFile(bronze / path) as file:
                for group in range(file.num_row_groups):
                    yield from _sources_of_group(file, group)
        except (OSError, pa.ArrowException):
            continue


def _sources_of_group(file: pq.ParquetFile, group: int) -> Iterator[tuple[str, int]]:
    rows = file.read_row_group(group, columns=["_source.file", "_source.bytes"])
    if "_source" not in rows.column_names:
        return
    source = rows.column("_source").combine_chunks()
    pairs = pa.table({"file": source.field("file"), "bytes": source.field("bytes")})
    sizes = pairs.group_by("file").aggregate([("bytes", "max")])
    yield from zip(sizes.column("file").to_pylist(), sizes.column("bytes_max").to_pylist(), strict=True)


def _added(bronze: Path, version: int) -> list[str]:
    """Return the data files that a version added, relative to the table."""
    try:
        actions = read_actions(bronze / "_delta_log" / f"{version:020d}.json")
    except OSError:
        return []
    return [unquote(action["add"]["path"]) for action in actions if "add" in action]
