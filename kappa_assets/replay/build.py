"""Candidates built beside the live tables: kept rows copied, the tape played, the same queries as live."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import functions as F

from kappa_assets.commit import BEFORE_THE_TAPE, CommitNote, Position
from kappa_assets.delta_log import last_note
from kappa_assets.delta_write.delta_writer import check_schema
from kappa_assets.delta_write.parquet_files import write_files
from kappa_assets.errors import LogicError, ReplayError
from kappa_assets.faults import reach
from kappa_assets.graph import Pipeline
from kappa_assets.registry import Generation
from kappa_assets.replay.tape_progress import Progress, TapeProgress
from kappa_assets.streams.assemble import query_of, tapes_of
from kappa_assets.streams.query import Setting, app_id
from kappa_assets.streams.runner import Runner
from kappa_assets.streams.silver import silver_writer
from kappa_assets.table import TableName
from kappa_assets.tape import Tape

Wanted = Callable[[], str | None]


@dataclass(frozen=True)
class Built:
    """What building one candidate took: rows of the tape that it took in, and seconds."""

    rows: int
    seconds: float

    def facts(self) -> dict[str, float]:
        """As it is stored in the registry, for the estimates of later plans."""
        return {"rows": self.rows, "seconds": round(self.seconds, 3)}


def build(
    setting: Setting, pipeline: Pipeline, candidates: list[Generation], progress: Progress, wanted: Wanted
) -> dict[TableName, Built]:
    """Bring every candidate, upstream first, to the tape's end as of now, or to its own end.

    Calling it again goes on from there. Returns what was built in this call. Raises ReplayError when it is stopped.
    """
    tapes = tapes_of(setting, pipeline)
    built = {}
    for candidate in candidates:
        tape = tapes[pipeline.tape_of(candidate.table)]
        query = query_of(setting, pipeline, candidate, tapes)
        upstream = setting.lake.folder(pipeline.upstreams[candidate.table], candidate.upstream)
        before, began = _rows_taken_in(setting, candidate, tape), time.monotonic()
        if candidate.kept_from is not None:
            query.prepare()
            _keep_rows(setting, candidate, tape, progress)
        ahead = sum(c.rows for c in tape.commits() if c.batch >= candidate.from_batch)
        watched = TapeProgress(setting.spark, query, upstream, ahead, progress, wanted)
        Runner(query).drain(watched)
        if (reason := wanted()) is not None:
            raise ReplayError(f"the replay was stopped: {reason}", hint="Launch the same again, and it goes on.")
        done = Built(_rows_taken_in(setting, candidate, tape) - before, time.monotonic() - began)
        built[candidate.table] = done
        if done.rows:
            progress(f"{candidate.table} g{candidate.number}: {done.rows:,} rows in {done.seconds:.1f} s")
        reach("building", str(candidate.table))
    return built


def _rows_taken_in(setting: Setting, candidate: Generation, tape: Tape) -> int:
    """Return how many rows of the tape, from where it computes itself, the candidate reflects."""
    found = last_note(setting.lake.folder(candidate.table, candidate.number))
    position = BEFORE_THE_TAPE if found is None else found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)
    return sum(c.rows for c in tape.commits() if candidate.from_batch <= c.batch <= position.batch)


def _keep_rows(setting: Setting, candidate: Generation, tape: Tape, progress: Progress) -> None:
    """Copy the rows from before the candidate's start out of the generation they are kept from, as its first commit."""
    batch = candidate.from_batch - 1
    upto = Position(batch, next((c.version for c in tape.commits() if c.batch == batch), -1))
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
        position={str(tape.bronze): upto},
        rows=files.rows,
        replay=candidate.replay,
    )
    writer.commit(files, app, 0, note.to_json())
    progress(f"{candidate.table} g{candidate.number}: {files.rows:,} rows kept from g{candidate.kept_from}")
