"""Candidates built beside the live tables: kept rows copied, the tape played, the same queries as live."""

from __future__ import annotations

import time
from collections.abc import Callable

from pyspark.sql import functions as F

from kappa_assets.commit import CommitNote, Position
from kappa_assets.declare.tables import Silver
from kappa_assets.delta_log import last_note
from kappa_assets.delta_write.delta_writer import check_schema
from kappa_assets.delta_write.parquet_files import write_files
from kappa_assets.errors import LogicError, ReplayError
from kappa_assets.graph import Pipeline
from kappa_assets.registry import Generation
from kappa_assets.streams.assemble import query_of, tapes_of
from kappa_assets.streams.query import Setting, app_id
from kappa_assets.streams.runner import Runner
from kappa_assets.streams.silver import silver_writer

Progress = Callable[[str], None]
Wanted = Callable[[], str | None]


def build(
    setting: Setting, pipeline: Pipeline, candidates: list[Generation], progress: Progress, wanted: Wanted
) -> None:
    """Bring every candidate, upstream first, to the tape's end as of now. Calling it again goes on from there."""
    tapes = tapes_of(setting, pipeline)
    for candidate in candidates:
        table = pipeline.derived_table(candidate.table)
        tape = tapes[pipeline.tape_of(candidate.table)]
        runner = Runner(query_of(setting, pipeline, candidate, tapes))
        began = time.monotonic()
        if candidate.kept_from is not None and isinstance(table, Silver):
            batch = candidate.from_batch - 1
            version = next((c.version for c in tape.commits() if c.batch == batch), -1)
            runner.query.prepare()
            _keep_rows(setting, candidate, str(tape.bronze), Position(batch, version), progress)
        runner.drain(wanted)
        if (reason := wanted()) is not None:
            raise ReplayError(f"the replay was stopped: {reason}", hint="Launch it again.")
        progress(_progress_line(setting, candidate, str(tape.bronze), time.monotonic() - began))


def _keep_rows(setting: Setting, candidate: Generation, bronze: str, upto: Position, progress: Progress) -> None:
    """Copy the live generation's rows up to `upto` into the candidate, as its first commit."""
    writer = silver_writer(setting, candidate.table, candidate.number)
    app = app_id(candidate.table, candidate.number, "kept")
    schema = writer.schema()
    if writer.is_committed(app, 0) or schema is None:
        return
    kept = setting.lake.folder(candidate.table, candidate.kept_from or 1)
    live = setting.spark.read.format("delta").load(str(kept))
    columns = {f.name.lower() for f in live.schema}
    try:
        check_schema(str(candidate.table), live.schema, schema)
    except LogicError as error:
        raise ReplayError(
            f"the rows before batch {candidate.from_batch} cannot be kept: {error.what}",
            hint="Replay from inception (from_version 0): old rows are then computed by the new logic too.",
        ) from error
    rows = live.where(F.col("_batch_id") <= upto.batch).select(
        *[F.col(f.name) if f.name.lower() in columns else F.lit(None).cast(f.dataType).alias(f.name) for f in schema]
    )
    files = write_files(rows, writer.folder, writer.partition_by)
    note = CommitNote(
        table=str(candidate.table),
        generation=candidate.number,
        batch=-1,
        code_version=candidate.code_version,
        position={bronze: upto},
        rows=files.rows,
        replay=candidate.replay,
    )
    writer.commit(files, app, 0, note.to_json())
    progress(f"{candidate.table} g{candidate.number}: {files.rows:,} rows kept from g{candidate.kept_from}")


def _progress_line(setting: Setting, candidate: Generation, bronze: str, seconds: float) -> str:
    found = last_note(setting.lake.folder(candidate.table, candidate.number))
    where = found[1].position.get(bronze) if found else None
    return f"{candidate.table} g{candidate.number}: built up to {where or 'nothing yet'} in {seconds:.1f} s"
