"""Rows from before a candidate's start, kept from the live generation without being read again."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import ARRIVAL_DATE, BATCH_ID
from kappa_assets.errors import LogicError, ReplayError
from kappa_assets.kinds.append import open_silver
from kappa_assets.kinds.query import Setting
from kappa_assets.log.note import CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.change import Adopted, Applied, Change, Counts, HeldFile, Write
from kappa_assets.place.held import held
from kappa_assets.place.local.delta_write.table_schema import check_schema
from kappa_assets.place.port import OpenTable, StoredTable
from kappa_assets.place.registry import Generation
from kappa_assets.place.sliced_rows import rows_in_files
from kappa_assets.replay.carry_over import KEPT_VERSION
from kappa_assets.replay.tape_progress import Say


def keep_rows(setting: Setting, candidate: Generation, tape: Tape, progress: Say) -> None:
    """Put the rows from before the candidate's start into it, as its first commit.

    Files that hold nothing else are taken as they are. Only those that hold later rows too are written again without
    them. Raises ReplayError when a column of theirs is gone or has another type.
    """
    target = open_silver(setting, candidate.table, candidate.number)
    write, schema = Write(str(candidate.table), candidate.number, "kept", 0), target.schema()
    if schema is None or target.is_in(write):
        return
    live = setting.lake.table(candidate.table, candidate.kept_from or 1)
    batch = candidate.from_batch - 1
    upto = Position(batch, next((c.version for c in tape.commits(batch, batch)), -1))
    known = live.newest()
    assert known is not None  # noqa: S101 -- for mypy; rows are kept of a generation that has some
    _check_columns(candidate, live.open(), schema)
    whole, mixed = _held(live, known, batch)

    def note(counts: Counts) -> str:
        return CommitNote(
            table=str(candidate.table),
            generation=candidate.number,
            batch=-1,
            code_version=candidate.code_version,
            position={str(tape.bronze): upto},
            rows=counts.rows,
            replay=candidate.replay,
            source={KEPT_VERSION: known},
        ).to_json()

    rows = _earlier_rows(setting, live, mixed, schema, batch)
    change = Change(write, rows, note, adopted=Adopted(live, tuple(whole)), point=None)
    applied = target.apply(change, setting.fence)
    if isinstance(applied, Applied):
        progress(
            f"{candidate.table} g{candidate.number}: {applied.counts.rows:,} rows kept from g{candidate.kept_from}, "
            f"{len(whole)} files as they are, {len(mixed)} in part"
        )


def _held(live: StoredTable, version: int, batch: int) -> tuple[list[HeldFile], list[str]]:
    """Return the files that hold rows up to a batch alone, and those that hold, or may hold, later ones too."""
    whole, mixed = [], []
    for action in held(live.files(version)):
        low, high = action.get(f"min.{BATCH_ID}"), action.get(f"max.{BATCH_ID}")
        if high is not None and high <= batch:
            whole.append(HeldFile(action["path"], {ARRIVAL_DATE: action[f"partition.{ARRIVAL_DATE}"].isoformat()}))
        elif low is None or low <= batch:
            mixed.append(action["path"])
    return whole, mixed


def _check_columns(candidate: Generation, live: OpenTable, wanted: StructType) -> None:
    try:
        check_schema(str(candidate.table), live.schema() or StructType(), wanted)
    except LogicError as error:
        raise ReplayError(
            f"the rows before batch {candidate.from_batch} cannot be kept: {error.what}",
            hint="Replay from inception (from_version 0): old rows are then computed by the new logic too.",
        ) from error


def _earlier_rows(
    setting: Setting, live: StoredTable, mixed: list[str], schema: StructType, batch: int
) -> DataFrame | None:
    if not mixed:
        return None
    return rows_in_files(setting.spark, live, mixed, schema).where(F.col(BATCH_ID) <= batch)
