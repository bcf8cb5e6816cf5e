"""Small Delta tables committed by hand, with notes like the host's, without Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from kappa_assets.log.note import CommitNote, Position


def append(folder: Path, slices: Sequence[str], note: CommitNote | None = None, text: str | None = None) -> int:
    """Commit one row per slice (a day), with a note of ours or another writer's text, and return the version."""
    rows = pa.table({"n": pa.array(range(len(slices)), pa.int64()), "_arrival_date": pa.array(slices, pa.string())})
    metadata = note.to_json() if note else text
    properties = CommitProperties(custom_metadata={"userMetadata": metadata} if metadata else {})
    write_deltalake(folder, rows, mode="append", partition_by=["_arrival_date"], commit_properties=properties)
    return DeltaTable(folder).version()


def append_to_tape(folder: Path, batch: int, slices: Sequence[str]) -> int:
    """Commit one batch of a tape."""
    version = -1 if not (folder / "_delta_log").exists() else DeltaTable(folder).version()
    note = CommitNote(
        f"bronze.{folder.name}",
        1,
        batch,
        "",
        position={f"bronze.{folder.name}": Position(batch, version + 1)},
        tape_batch=batch,
        rows=len(slices),
    )
    return append(folder, slices, note)


def log_file(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020d}.json"


def write_commit(folder: Path, version: int, *actions: Mapping[str, object], note: CommitNote | None = None) -> None:
    """Write a log file action by action: what Delta may hold, and delta-rs does not write."""
    info = {"commitInfo": {"timestamp": 1_700_000_000_000 + version, "operation": "WRITE"}}
    if note is not None:
        info["commitInfo"]["userMetadata"] = note.to_json()
    path = log_file(folder, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(action) + "\n" for action in (info, *actions)))


def add(path: str = "f", rows: int = 1, *, data_change: bool = True, **partition: str) -> dict[str, object]:
    stats = json.dumps({"numRecords": rows})
    return {"add": {"path": path, "partitionValues": partition, "dataChange": data_change, "stats": stats}}


def remove(path: str = "f", *, data_change: bool = True) -> dict[str, object]:
    return {"remove": {"path": path, "dataChange": data_change}}


def cdc(path: str = "c") -> dict[str, object]:
    return {"cdc": {"path": path, "partitionValues": {}, "size": 1, "dataChange": False}}
