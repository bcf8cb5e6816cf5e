"""The Delta log read without a JVM: what each commit wrote, and the note it carries."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.errors import LakeError, TapeGap
from kappa_assets.log.note import CommitNote
from kappa_assets.place.change import sum_of_known
from kappa_assets.place.local.stored_table import Where, stored
from kappa_assets.place.port import StoredTable

_SLICE_IN_PATH = re.compile(rf"{ARRIVAL_DATE}=(\d{{4}}-\d{{2}}-\d{{2}})/")


@dataclass(frozen=True)
class Commit:
    """One version of a Delta table, as its log file tells it."""

    version: int
    at: dt.datetime
    """When it was committed, UTC."""
    operation: str
    note: CommitNote | None
    """What kappa_assets wrote about it; None for other writers and for OPTIMIZE, VACUUM and the like."""
    rows_by_slice: Mapping[str, int]
    """Rows in the files added, by `_arrival_date`; `""` for files without one."""
    adds_data: bool
    removes_data: bool
    stream_files: int
    """How many files Delta's stream counts in it: its change files where it has them, else what it adds and removes."""
    bytes: int
    """Size of what Delta's stream reads of it: its change files where it has them, else the files added."""
    removed_slices: AbstractSet[str] = frozenset()
    """The `_arrival_date` of the files whose rows were taken away or changed; `""` for one that does not tell."""
    a_file: str | None = None
    """The path of one of the files added."""
    feed_rows: int | None = None
    """How many rows its change feed has; None where the log does not tell: of change files, and of rows taken away."""

    @property
    def rows(self) -> int:
        """Rows in the files this commit added."""
        return sum(self.rows_by_slice.values())


def commits(where: Where, *, after: int = -1, upto: int | None = None) -> Iterator[Commit]:
    """Yield the commits with `after` < version <= `upto`, oldest first.

    A table that does not exist has none. Raises TapeGap when one in the range has been cleaned from the log,
    unless `after` is -1: then the commits that are still there are given.
    """
    table = stored(where)
    if after >= 0 and table.has(after + 1):  # as nearly always: then nothing need be listed
        yield from _following(table, after + 1, upto)
        return
    if _is_newest(table, after):
        return
    wanted = [v for v in table.versions() if v > after and (upto is None or v <= upto)]
    if wanted and after >= 0 and wanted[0] != after + 1:
        raise TapeGap(
            f"the log of {table.called} no longer holds versions {after + 1} to {wanted[0] - 1}",
            hint="They were cleaned up before they were read; the tape index, where kept, still has their positions.",
        )
    for version in wanted:
        yield read_commit(table, version)


def read_commit(where: Where, version: int) -> Commit:
    """Return one commit. Raises LakeError when its log file is missing or cannot be understood."""
    table = stored(where)
    try:
        actions = table.actions(version)
    except (OSError, ValueError) as error:
        raise LakeError(
            f"commit {version} of {table.called} cannot be read: {error}",
            hint="If the log was cleaned up, ask for a newer version.",
        ) from error
    info: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
    rows: dict[str, int] = {}
    fed: list[int | None] = []
    adds = removes = False
    moved = changed = size = told = 0
    removed_slices: set[str] = set()
    for action in actions:
        changed += "cdc" in action
        told += action.get("cdc", {}).get("size", 0)
        if add := action.get("add"):
            adds = adds or add.get("dataChange", True)
            moved += add.get("dataChange", True)
            size += add.get("size", 0)
            part = (add.get("partitionValues") or {}).get(ARRIVAL_DATE) or ""
            records = _records(add)
            rows[part] = rows.get(part, 0) + (records or 0)
            fed += [records] if add.get("dataChange", True) else []
        elif remove := action.get("remove"):
            removes = removes or remove.get("dataChange", True)
            moved += remove.get("dataChange", True)
            if remove.get("dataChange", True):
                removed_slices.add(_slice_of(remove))
    return Commit(
        version=version,
        at=dt.datetime.fromtimestamp(info.get("timestamp", 0) / 1000, dt.UTC),
        operation=info.get("operation", ""),
        note=CommitNote.from_json(info.get("userMetadata")),
        rows_by_slice=rows,
        adds_data=adds,
        removes_data=removes,
        stream_files=changed or moved,
        bytes=told if changed else size,
        removed_slices=removed_slices,
        a_file=next((action["add"]["path"] for action in actions if "add" in action), None),
        feed_rows=None if changed or removes else sum_of_known(fed),
    )


def last_note(where: Where, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
    """Return the newest (version, note) of ours, at or before version `at_most`; None when there is none.

    Commits of other writers in between (OPTIMIZE, VACUUM) are stepped over.
    """
    return next(notes_back(where, at_most=at_most), None)


def notes_back(where: Where, *, at_most: int | None = None) -> Iterator[tuple[int, CommitNote]]:
    """Yield the (version, note) of our commits, newest first, as far as the log reaches back without a hole."""
    table = stored(where)
    version = table.newest() if at_most is None else at_most
    while version is not None and version >= 0 and table.has(version):
        note = read_commit(table, version).note
        if note is not None:
            yield version, note
        version -= 1


def newest_of_tape(where: Where, *, at_most: int | None = None) -> CommitNote | None:
    """Return the note of the newest batch of a tape, at or before version `at_most`; None before its first.

    With `at_most` the log is not listed for it.
    """
    return next((note for _, note in notes_back(where, at_most=at_most) if note.tape_batch is not None), None)


def _following(table: StoredTable, version: int, upto: int | None) -> Iterator[Commit]:
    """Yield the commits from `version` on, to the last one whose log file is there."""
    while (upto is None or version <= upto) and table.has(version):
        yield read_commit(table, version)
        version += 1


def _records(add: Mapping[str, Any]) -> int | None:
    stats = add.get("stats")
    records = json.loads(stats).get("numRecords") if stats else None
    return None if records is None else int(records)


def _slice_of(remove: Mapping[str, Any]) -> str:
    """Return the slice of a removed file; its path tells it where the action leaves out the partition."""
    values = remove.get("partitionValues") or {}
    found = _SLICE_IN_PATH.search(remove.get("path", ""))
    return values.get(ARRIVAL_DATE) or (found[1] if found else "")


def _is_newest(table: StoredTable, version: int) -> bool:
    """Return whether nothing follows `version`, without listing the log: logs are cleaned from their old end."""
    return version >= 0 and not table.has(version + 1) and table.has(version)
