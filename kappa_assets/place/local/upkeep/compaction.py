"""OPTIMIZE: the many small files of a finished slice become few. Values, rows and their addresses stay as they are.

Done here and not by delta-rs, whose OPTIMIZE writes statistics of decimals as floating-point numbers (a column of
123456789012345678901234567890.1234 got the bounds 1.2345678901234568e+29): readers then skip files that hold the row,
or fail. Nothing is locked while files are rewritten; the commit takes the table's turn, and gives up when one of its
files has been replaced meanwhile.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.transaction import AddAction, RemoveAction

from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.errors import LakeError
from kappa_assets.faults import fault_point
from kappa_assets.place.local.delta_write.held_files import held_files
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, describe_files
from kappa_assets.place.local.delta_write.small_files import NO_PARTITION
from kappa_assets.place.local.delta_write.version_checksum import VersionChecksums
from kappa_assets.place.local.key_order.extents import ORDERED_BY
from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.local.upkeep.merge_files import can_be_merged, merge_files
from kappa_assets.place.local.upkeep.removal import remove_unfinished

SMALL_FILE = 32 << 20
"""Bytes under which a file is small."""
FEW = 4
"""So many small files in a slice are worth a rewrite; fewer are left alone."""
FULL = 128 << 20
"""Bytes that go into one new file."""
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@dataclass(frozen=True)
class SmallFiles:
    """The small files of one slice of a table that become one. `slice` is None for a table without slices."""

    table: str
    folder: Path
    slice: str | None
    sliced: bool
    paths: tuple[str, ...]
    """Relative to the table's folder, oldest first."""
    rows: int
    bytes: int

    @property
    def partition(self) -> dict[str, str | None]:
        """The values of the partition, by column, that all of the files are in."""
        return {ARRIVAL_DATE: self.slice} if self.sliced else {}


def small_files(table: str, folder: Path, *, before: dt.date, few: int = FEW) -> list[SmallFiles]:
    """Return what there is to rewrite in a table: each slice before the day `before` that has `few` small files.

    Empty for a table that does not exist, for one whose files lie in the order of its keys, and for one with columns
    of types that only Spark can write.
    """
    if not DeltaTable.is_deltatable(str(folder)):
        return []
    delta = DeltaTable(folder)
    if ORDERED_BY in delta.metadata().configuration or not can_be_merged(json.loads(delta.schema().to_json())):
        return []
    sliced = delta.metadata().partition_columns == [ARRIVAL_DATE]
    by_slice: dict[dt.date | None, list[dict[str, object]]] = {}
    for action in held_files(delta):
        if action["size_bytes"] < SMALL_FILE and action["num_records"] is not None:
            by_slice.setdefault(action.get(f"partition.{ARRIVAL_DATE}"), []).append(action)
    found = []
    for day, actions in sorted(by_slice.items(), key=lambda item: item[0] or dt.date.min):
        if not sliced or day is None or day < before:
            groups = [group for group in _groups(sorted(actions, key=_age)) if len(group) >= few]
            found += [_together(table, folder, day, group, sliced=sliced) for group in groups]
    return found


def compact(files: SmallFiles) -> bool:
    """Put one file in the place of several, in one commit without a change of data; return whether it was done.

    Not done when somebody replaced one of them meanwhile, or the generation is gone. The caller holds the lake's turn
    of upkeep. Raises LakeError when a file cannot be read.
    """
    if not DeltaTable.is_deltatable(str(files.folder)):
        return False
    relative = f"data/{uuid.uuid4().hex}"
    inside = f"{relative}/{ARRIVAL_DATE}={files.slice or NO_PARTITION}" if files.sliced else relative
    path = f"{inside}/part-0.parquet"
    (files.folder / inside).mkdir(parents=True)
    done = False
    try:
        rows = merge_files([files.folder / p for p in files.paths], files.folder / path)
        merged = describe_files(files.folder, [path], (ARRIVAL_DATE,) if files.sliced else ())
        if not files.rows == rows == merged.rows:
            raise LakeError(
                f"{files.table}, slice {files.slice}: its log counts {files.rows} rows, its files hold {rows}",
                hint="Nothing was changed. A file was damaged or edited; replay the table.",
            )
        with table_turn(files.folder):
            done = _exchange(files, [replace(a, data_change=False) for a in merged.actions])
    finally:
        if not done:
            remove_unfinished(files.folder, relative)
    return done


def checkpoint(folder: Path) -> None:
    """Write a checkpoint of the log, so that readers need not read the commits one by one; none if it is gone."""
    with table_turn(folder):
        if DeltaTable.is_deltatable(str(folder)):
            DeltaTable(folder).create_checkpoint()


def _exchange(files: SmallFiles, new: list[AddAction]) -> bool:
    delta = DeltaTable(files.folder)
    if not set(files.paths) <= set(pa.table(delta.get_add_actions()).column("path").to_pylist()):
        return False
    now = int(time.time() * 1000)
    gone = [RemoveAction(path, False, now, partition_values=files.partition) for path in files.paths]
    fault_point("optimizing", files.table)
    delta.create_write_transaction(
        [*gone, *new],
        "append",
        delta.schema(),
        list(files.partition) or None,
        commit_properties=CommitProperties(
            custom_metadata={"userMetadata": json.dumps({"maintenance": "optimize", "slice": files.slice})},
            max_commit_retries=0,
        ),
        post_commithook_properties=_NO_HOOKS,
    )
    delta.update_incremental()
    # One of its own for each commit: it counts the files anew.
    VersionChecksums(files.folder).write(delta, NOTHING, replace=False)
    return True


def _groups(actions: Iterable[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    """Yield actions in groups that each make one new file."""
    group: list[dict[str, object]] = []
    size = 0
    for action in actions:
        if size and size + _size(action) > FULL:
            yield group
            group, size = [], 0
        group.append(action)
        size += _size(action)
    if group:
        yield group


def _together(
    table: str, folder: Path, day: dt.date | None, actions: list[dict[str, object]], *, sliced: bool
) -> SmallFiles:
    return SmallFiles(
        table,
        folder,
        None if day is None else day.isoformat(),
        sliced,
        tuple(str(a["path"]) for a in actions),
        sum(int(str(a["num_records"])) for a in actions),
        sum(_size(a) for a in actions),
    )


def _size(action: dict[str, object]) -> int:
    return int(str(action["size_bytes"]))


def _age(action: dict[str, object]) -> tuple[int, str]:
    return int(str(action["modification_time"])), str(action["path"])
