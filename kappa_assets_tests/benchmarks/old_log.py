"""A lake made old: thousands of commits in every log, of batches without rows, written by hand in seconds.

They are what a landed file with a header alone leaves behind: positions go on and tile, notes are as our commits have
them, and no table changes. Spark's checkpoints are brought to the new versions, as if its queries had read them.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

from deltalake import DeltaTable

from kappa_assets.graph import Pipeline
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import LANDED, CommitNote, InputRange, Offset, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets.place.registry import Registry

_CHECKPOINT_EVERY = 100


def make_old(lake: Lake, pipeline: Pipeline, batches: int) -> None:
    """Put `batches` batches without rows through every live table of a drained lake that no host is on."""
    state = Registry(lake).state()
    heads: dict[TableName, Position] = {}
    firsts: dict[TableName, int] = {}
    for table in pipeline.tables:
        live = state.live(table)
        number = 1 if live is None else live.number
        folder = lake.folder(table, number)
        newest, found = latest_version(folder), last_note(folder)
        assert newest is not None, f"{table} has no commit"
        assert found is not None, f"{table} has no note"
        firsts[table] = newest + 1
        tape = pipeline.tape_of(table)
        if table.is_tape:
            heads[table] = Position(Tape(lake, table).head().batch + 1, newest + 1)
        else:
            (upstream,) = pipeline.upstreams[table]
            _move_offset(lake.checkpoint(table, number), firsts[upstream] + batches)
        for index in range(batches):
            at = Position(heads[tape].batch + index, heads[tape].version + index)
            note = replace(found[1], batch=found[1].batch + index + 1, rows=0, position={str(tape): at}, rejected={})
            if table.is_tape:
                delivery = [f"old/{at.batch}.csv.gz", 100, 1_700_000_000_000 + at.batch, f"{at.batch:032x}"]
                note = replace(note, tape_batch=at.batch, source={**note.source, LANDED: [delivery]})
            else:
                note = replace(note, reads={str(upstream): _read(found[1], upstream, firsts[upstream], index)})
            _write(folder, newest + 1 + index, note, batches - index)
            if index % _CHECKPOINT_EVERY == 0 or index == batches - 1:
                DeltaTable(folder).create_checkpoint()


def _read(before: CommitNote, upstream: TableName, first: int, index: int) -> InputRange:
    read = before.reads[str(upstream)]
    since = read.until if index == 0 else Offset(first + index, -1, False)
    return InputRange(read.generation, since, Offset(first + index + 1, -1, False), first + index)


def _write(folder: Path, version: int, note: CommitNote, seconds_ago: int) -> None:
    at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    info = {"timestamp": int(at.timestamp() * 1000), "operation": "WRITE", "userMetadata": note.to_json()}
    (folder / "_delta_log" / f"{version:020d}.json").write_text(json.dumps({"commitInfo": info}) + "\n")


def _move_offset(checkpoint: Path, version: int) -> None:
    """Have the newest batch of a query end before `version` of its upstream, and the one before it one version earlier.

    A lake made without Spark has none.
    """
    numbers = sorted(int(p.name) for p in checkpoint.glob("offsets/*") if p.name.isdigit())
    for before, number in enumerate(reversed(numbers[-2:])):
        path = checkpoint / "offsets" / str(number)
        lines = path.read_text().splitlines()
        moved = {"reservoirVersion": version - before, "index": -1, "isStartingVersion": False}
        _rewrite(path, [*lines[:2], json.dumps(json.loads(lines[2]) | moved)])


def _rewrite(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines))
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)  # Hadoop's, of what was there before
