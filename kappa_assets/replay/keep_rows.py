"""Rows from before a candidate's start, kept from the live generation without being read again."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

from deltalake import DeltaTable
from deltalake.transaction import AddAction
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import ARRIVAL_DATE, BATCH_ID
from kappa_assets.errors import LogicError, ReplayError
from kappa_assets.kinds.append import silver_writer
from kappa_assets.kinds.query import Setting
from kappa_assets.log.note import CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.change import Write
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.file_stats import file_stats
from kappa_assets.place.local.delta_write.held_files import held_files
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, write_files
from kappa_assets.place.local.delta_write.table_schema import check_schema
from kappa_assets.place.registry import Generation
from kappa_assets.repair.slice_files import rows_in_files
from kappa_assets.replay.carry_over import KEPT_VERSION
from kappa_assets.replay.tape_progress import Say


def keep_rows(setting: Setting, candidate: Generation, tape: Tape, progress: Say) -> None:
    """Put the rows from before the candidate's start into it, as its first commit.

    Files that hold nothing else are linked: a Parquet file is never changed, and lives until its last name is removed,
    so either generation may be removed first. Only files that hold later rows too are written again without them.
    Raises ReplayError when a column of theirs is gone or has another type.
    """
    writer = silver_writer(setting, candidate.table, candidate.number)
    write, schema = Write(str(candidate.table), candidate.number, "kept", 0), writer.schema()
    if schema is None or writer.is_committed(write.app, write.number):
        return
    folder = setting.lake.folder(candidate.table, candidate.kept_from or 1)
    batch = candidate.from_batch - 1
    upto = Position(batch, next((c.version for c in tape.commits(batch, batch)), -1))
    known = DeltaTable(folder)
    _check_columns(candidate, DeltaWriter(str(candidate.table), folder), schema)
    linked, mixed = [], []
    for action in held_files(known):
        low, high = action.get(f"min.{BATCH_ID}"), action.get(f"max.{BATCH_ID}")
        if high is not None and high <= batch:
            linked.append(
                _link(folder / action["path"], writer.folder, action[f"partition.{ARRIVAL_DATE}"].isoformat())
            )
        elif low is None or low <= batch:
            mixed.append(action["path"])
    files = _together(linked, _rewritten(setting, writer, folder, mixed, schema, batch))
    note = CommitNote(
        table=str(candidate.table),
        generation=candidate.number,
        batch=-1,
        code_version=candidate.code_version,
        position={str(tape.bronze): upto},
        rows=files.rows,
        replay=candidate.replay,
        source={KEPT_VERSION: known.version()},
    )
    writer.commit(files, Once(write.app, write.number, *write.fence(setting.fence)), note.to_json())
    progress(
        f"{candidate.table} g{candidate.number}: {files.rows:,} rows kept from g{candidate.kept_from}, "
        f"{len(linked)} files as they are, {len(mixed)} in part"
    )


def _check_columns(candidate: Generation, live: DeltaWriter, wanted: StructType) -> None:
    try:
        check_schema(str(candidate.table), live.schema() or StructType(), wanted)
    except LogicError as error:
        raise ReplayError(
            f"the rows before batch {candidate.from_batch} cannot be kept: {error.what}",
            hint="Replay from inception (from_version 0): old rows are then computed by the new logic too.",
        ) from error


def _link(source: Path, target: Path, day: str) -> AddAction:
    """Give a file a second name below the candidate's folder; on a file system without links, copy it."""
    path = f"data/{uuid.uuid4().hex}/{ARRIVAL_DATE}={day}/{source.name}"
    (target / path).parent.mkdir(parents=True)
    try:
        os.link(source, target / path)
    except OSError:
        shutil.copyfile(source, target / path)
    stat = (target / path).stat()
    _, stats = file_stats(target / path)
    return AddAction(path, stat.st_size, {ARRIVAL_DATE: day}, int(stat.st_mtime * 1000), True, stats)


def _rewritten(
    setting: Setting, writer: DeltaWriter, folder: Path, mixed: list[str], schema: StructType, batch: int
) -> WrittenFiles:
    if not mixed:
        return WrittenFiles((), 0, 0)
    rows = rows_in_files(setting.spark, [str(folder / path) for path in mixed], schema)
    return write_files(rows.where(F.col(BATCH_ID) <= batch), writer.folder, writer.partition_by)


def _together(linked: list[AddAction], written: WrittenFiles) -> WrittenFiles:
    rows = sum(int(json.loads(action.stats)["numRecords"]) for action in linked)
    size = sum(action.size for action in linked)
    return WrittenFiles((*linked, *written.actions), rows + written.rows, size + written.bytes)
