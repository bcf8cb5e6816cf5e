"""Silver, row by row: the function on each batch of the tape, appended; failed rows go aside first."""

from __future__ import annotations

import json
from pathlib import Path

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from kappa_assets.columns import ARRIVAL_DATE, BATCH_ID, LINEAGE, quoted
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import TableMissing
from kappa_assets.faults import fault_point
from kappa_assets.kinds.query import WAIT, Setting, StartAgain, app_id, checkpoint_of
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.log.positions import (
    check_repeated,
    check_tiles,
    input_range,
    position_of_bronze_version,
    read_bytes,
)
from kappa_assets.log.tape import Tape
from kappa_assets.logic.logic_check import check_logic, text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, write_apart, write_files
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH, ResultTooLarge
from kappa_assets.place.local.spark_paths import literal_path
from kappa_assets.place.registry import Generation

PROPERTIES = {"delta.enableChangeDataFeed": "true"}
REJECTED = "_rejected"
"""Whether a row fails an expectation, while a batch is written."""


class AppendQuery:
    """The query that writes one generation of a row-by-row Silver."""

    every = 0.0

    def __init__(self, setting: Setting, silver: Silver, generation: Generation, tape: Tape, code_version: str) -> None:
        self._setting = setting
        self._silver = silver
        self._generation = generation
        self._tape = tape
        self._code_version = code_version
        self._first_slice: str | None = None
        self._sliced = -1  # the Bronze version up to which `_first_slice` is known to hold
        self._times: frozenset[str] = frozenset()
        lake = setting.lake
        self._upstream = lake.folder(tape.bronze)
        self._bronze = DeltaWriter(str(tape.bronze), self._upstream)
        self._writer = silver_writer(setting, silver.name, generation.number)
        self._rejects = DeltaWriter(f"rejects of {silver.name}", lake.rejects(silver.name))

    @property
    def table(self) -> TableName:
        return self._silver.name

    @property
    def generation(self) -> int:
        return self._generation.number

    @property
    def upstream(self) -> Path:
        return self._upstream

    @property
    def checkpoint(self) -> Checkpoint:
        return checkpoint_of(self._setting.lake, self._generation)

    def is_ready(self) -> bool:
        return self._bronze.version() > 0  # 0 is its creation: nothing to read yet

    def prepare(self) -> None:
        """Check the function's plan, and make the table with its output's columns."""
        schema = self._bronze.schema()
        if schema is None:
            raise TableMissing(f"{self.table} has nothing to read yet: {self._tape.bronze} is not written", hint=WAIT)
        empty = self._setting.spark.createDataFrame([], schema)
        output = check_logic(self._silver, empty)
        self._times = text_casts(self._silver, empty)
        self._writer.prepare(output.schema)

    def stream(self) -> DataFrame:
        stream = (
            self._setting.spark.readStream.format("delta")
            .option("maxBytesPerTrigger", self._setting.pace.table_bytes)
            .option("maxFilesPerTrigger", str(self._setting.pace.table_files))
            .load(str(self._upstream))
        )
        start, end = self._generation.from_batch, self._generation.to_batch
        self._first_slice = self._oldest_slice_since(start) if start else None
        if self._first_slice is not None:  # prunes files; `_batch_id` alone would have the whole tape opened
            stream = stream.where(F.col(ARRIVAL_DATE) >= F.lit(self._first_slice).cast("date"))
        stream = stream.where(F.col(BATCH_ID) >= start) if start else stream
        return stream if end is None else stream.where(F.col(BATCH_ID) <= end)

    def apply(self, batch: DataFrame, number: int) -> None:
        fault_point("before_offsets", str(self.table))
        since, until = self.checkpoint.delta_range(number)
        if self._writer.is_committed(self._app("main"), number):
            check_repeated(str(self.table), self._writer.folder, str(self._tape.bronze), number, (since, until))
            return
        read = input_range(self._upstream, 1, since, until)
        self._check_tiles(read)
        self._check_slices(read)
        try:
            written, rejects, rejected = self._write(batch, small=read_bytes(self._upstream, read) <= SMALL_BATCH)
        except ResultTooLarge:
            written, rejects, rejected = self._write(batch, small=False)
        if rejects:
            self._keep_rejects(batch.sparkSession, rejects, number)
        fault_point("after_rejects", str(self.table))
        self._writer.commit(written, self._app("main"), number, self._note(number, read, written, rejected))
        fault_point("after_commit", str(self.table))

    def _write(self, batch: DataFrame, *, small: bool) -> tuple[WrittenFiles, list[Path], dict[str, int]]:
        """Write the batch in one pass: rows that meet every expectation, the files of the others, and their counts."""
        output = self._silver(with_days(batch.coalesce(1) if small else batch, self._times))
        self._writer.prepare(output.schema)
        folder, slices = self._writer.folder, self._writer.partition_by
        if not self._silver.expectations:
            return write_files(output, folder, slices, small=small), [], {}
        observation = Observation()
        judged = judge(self._silver, output, observation)
        written, rejects = write_apart(judged, folder, REJECTED, slices, small=small)
        return written, rejects, {name: n for name, n in observation.get.items() if n}

    def _keep_rejects(self, spark: SparkSession, files: list[Path], number: int) -> None:
        """Keep the rows that failed, as JSON with their reasons and their address on the tape."""
        if not self._rejects.is_committed(self._app("rejects"), number):
            schema = self._writer.schema()
            assert schema is not None  # noqa: S101 -- for mypy; `_write` has made the table
            root = str(self._writer.folder / "data")
            rows = spark.read.schema(schema).option("basePath", root).parquet(*[literal_path(f) for f in files])
            failed = rows.select(
                *LINEAGE,
                failed_expectations(self._silver).alias("reasons"),
                F.to_json(F.struct(*map(quoted, schema.names))).alias("row"),
                F.lit(self.generation).cast("long").alias("generation"),
                F.lit(number).cast("long").alias("batch"),
            )
            self._rejects.prepare(failed.schema)
            note = json.dumps({"table": str(self.table), "generation": self.generation, "batch": number})
            few = sum(path.stat().st_size for path in files) <= SMALL_BATCH
            kept = write_files(failed, self._rejects.folder, small=few)
            self._rejects.commit(kept, self._app("rejects"), number, note)
        for path in files:
            path.unlink()

    def _note(self, number: int, read: InputRange, written: WrittenFiles, rejected: dict[str, int]) -> str:
        position = position_of_bronze_version(self._tape, read.version)
        position = self._tape.bounded(position, self._generation.to_batch)
        return CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=number,
            code_version=self._code_version,
            reads={str(self._tape.bronze): read},
            position={str(self._tape.bronze): position},
            rows=written.rows,
            rejected=rejected,
            replay=self._generation.replay,
        ).to_json()

    def _oldest_slice_since(self, start: int) -> str | None:
        """Return the oldest slice that the tape's batches from `start` on touch; None when the tape's past is read."""
        offset = self.checkpoint.newest_offset()
        if offset is not None and not offset.starting:
            return None
        taken = self._tape.commits(start)
        self._sliced = taken[-1].version if taken else -1
        return min((day for c in taken for day in c.slices), default=None)

    def _check_slices(self, read: InputRange) -> None:
        """Have the query start again when rows of an older slice have landed since: its filter would lose them."""
        first, start = self._first_slice, self._generation.from_batch
        if first is None:
            return
        taken = [c for c in self._tape.commits(start, after=self._sliced) if c.version <= read.until.version]
        if any(day < first for c in taken for day in c.slices):
            raise StartAgain(f"{self.table} was started on slices from {first} on; older ones have landed since")
        self._sliced = taken[-1].version if taken else self._sliced

    def _check_tiles(self, read: InputRange) -> None:
        found = last_note(self._writer.folder, at_most=self._writer.version())
        before = None if found is None else found[1].reads.get(str(self._tape.bronze))
        check_tiles(str(self.table), before, read)

    def _app(self, write: str) -> str:
        return app_id(self.table, self.generation, write)


def silver_writer(setting: Setting, table: TableName, generation: int) -> DeltaWriter:
    """Return the writer of one generation of a Silver table."""
    return DeltaWriter(
        str(table), setting.lake.folder(table, generation), partition_by=(ARRIVAL_DATE,), properties=PROPERTIES
    )


def judge(silver: Silver, output: DataFrame, observation: Observation | None = None) -> DataFrame:
    """Return a function's output with REJECTED; `observation` counts the rows that fail each expectation."""
    meets = {f"_meets_{e.name}": F.coalesce(F.expr(e.condition), F.lit(False)) for e in silver.expectations}
    judged = output.withColumns(meets)
    if observation is not None:
        judged = judged.observe(
            observation, *[F.count_if(~F.col(f"_meets_{e.name}")).alias(e.name) for e in silver.expectations]
        )
    rejected = F.lit(False)
    for name in meets:
        rejected = rejected | ~F.col(name)
    return judged.withColumn(REJECTED, rejected).drop(*meets)


def judged_rows(silver: Silver, upstream: DataFrame) -> DataFrame:
    """Return the rows that the table keeps of `upstream`: its function's output that meets every expectation."""
    output = silver(with_days(upstream, text_casts(silver, upstream)))
    if not silver.expectations:
        return output
    return judge(silver, output).where(~F.col(REJECTED)).drop(REJECTED)


def failed_expectations(silver: Silver) -> Column:
    """Return the names of the expectations that a row fails; a condition that gives null is failed."""
    names = [
        F.when(F.coalesce(F.expr(e.condition), F.lit(False)), F.lit(None)).otherwise(F.lit(e.name))
        for e in silver.expectations
    ]
    return F.array_compact(F.array(*names))
