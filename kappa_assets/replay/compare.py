"""Candidates compared with the live tables at one tape position: schema, rows, and keys on one side only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.commit import CommitNote, Position
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.delta_log import commits, last_note
from kappa_assets.errors import ReplayError
from kappa_assets.graph import Pipeline
from kappa_assets.registry import Generation, State
from kappa_assets.streams.query import Setting
from kappa_assets.table import TableName

_ADDRESS = ("_batch_id", "_row")


@dataclass(frozen=True)
class TableComparison:
    """One candidate and its live table, both as of tape batch `batch`. Keys of a Silver are addresses on the tape."""

    table: TableName
    batch: int
    live_rows: int | None
    candidate_rows: int
    only_live: int
    """Keys that only the live table has; for a Gold without keys, whole rows."""
    only_candidate: int
    changed: int
    """Keys on both sides whose values differ, in the columns both have."""
    new_columns: tuple[str, ...] = ()
    lost_columns: tuple[str, ...] = ()

    @property
    def fault(self) -> str | None:
        """Why this candidate must not go live by itself, or None."""
        if self.live_rows and not self.candidate_rows:
            return f"{self.table} would lose all its {self.live_rows} rows"
        return None


@dataclass(frozen=True)
class Comparison:
    """All tables of a replay, compared."""

    tables: tuple[TableComparison, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against an automatic promotion."""
        return not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(t.fault for t in self.tables if t.fault is not None)

    def rows(self) -> list[dict[str, Any]]:
        """One row per table."""
        return [
            {
                **asdict(t),
                "table": str(t.table),
                "new_columns": ", ".join(t.new_columns),
                "lost_columns": ", ".join(t.lost_columns),
            }
            for t in self.tables
        ]


def compare(setting: Setting, pipeline: Pipeline, state: State, candidates: Iterable[Generation]) -> Comparison:
    """Return how each candidate differs from what readers see, at the newest position that both can show."""
    by_table = {c.table: c for c in candidates}
    found = []
    for candidate in by_table.values():
        table = pipeline.derived_table(candidate.table)
        live = state.live(candidate.table)
        if isinstance(table, Silver):
            found.append(_compare_silver(setting, pipeline, candidate, live))
        else:
            found.append(_compare_gold(setting, pipeline, table, candidate, live))
    return Comparison(tuple(found))


def _compare_silver(
    setting: Setting, pipeline: Pipeline, candidate: Generation, live: Generation | None
) -> TableComparison:
    bronze = str(pipeline.tape_of(candidate.table))
    batch = _reached(setting, candidate, bronze).batch
    new = _load(setting, candidate)
    if live is None:
        return _new_table(candidate.table, batch, new)
    batch = min(batch, _reached(setting, live, bronze).batch)
    old = _load(setting, live).where(F.col("_batch_id") <= batch)
    return _compared(candidate.table, batch, old, new.where(F.col("_batch_id") <= batch), _ADDRESS)


def _compare_gold(
    setting: Setting, pipeline: Pipeline, gold: Gold, candidate: Generation, live: Generation | None
) -> TableComparison:
    """Compare a live Gold with its candidate's function on the candidate upstream, cut at the live one's position.

    A Gold has no tape column to cut it by, so the candidate is computed anew at the position of a live commit; that
    both stand at the same position by themselves is luck while data arrives.
    """
    upstream = pipeline.upstreams[gold.name]
    bronze = str(pipeline.tape_of(gold.name))
    source = Generation(upstream, candidate.upstream, "", 1, 0, None, None, "")
    reached = _reached(setting, source, bronze).batch
    rows = _load(setting, source)
    if live is None:
        return _new_table(gold.name, reached, gold(rows))
    version, batch = _live_version(setting, live, str(upstream), bronze, reached)
    old = _load(setting, live, version)
    new = gold(rows.where(F.col("_batch_id") <= batch))
    keys = gold.keys or tuple(c for c in old.columns if c in new.columns)
    return _compared(gold.name, batch, old, new, keys)


def _live_version(
    setting: Setting, live: Generation, upstream: str, bronze: str, reached: int
) -> tuple[int | None, int]:
    """Return the newest version of the live table that stands at an exact position the candidate has reached too."""
    folder = setting.lake.folder(live.table, live.number)
    known = list(commits(folder))
    newest = known[-1].version if known else -1
    for commit in reversed(known):
        note = commit.note
        if note is None or not _is_exact(note, upstream):
            continue
        batch = note.position.get(bronze, Position(-1, -1)).batch
        if batch <= reached:
            return (None if commit.version == newest else commit.version), batch
    raise ReplayError(
        f"{live.table} g{live.number} has no commit at a position the candidate has reached (batch {reached})",
        hint="Let the live stream catch up, then launch the replay again.",
    )


def _is_exact(note: CommitNote, upstream: str) -> bool:
    """Return whether a commit reflects whole upstream versions, so that its position is more than a lower bound."""
    read = note.reads.get(upstream)
    if read is None or read.until.starting:
        return False
    return read.version == (read.until.version - 1 if read.until.index < 0 else read.until.version)


def _compared(table: TableName, batch: int, old: DataFrame, new: DataFrame, keys: tuple[str, ...]) -> TableComparison:
    shared = [c for c in old.columns if c in new.columns and c not in keys]
    a = old.groupBy(*keys).agg(F.count("*").alias("_n"), _digest(shared, old, new)).alias("a")
    b = new.groupBy(*keys).agg(F.count("*").alias("_n"), _digest(shared, new, old)).alias("b")
    same_key = [F.col(f"a.{k}").eqNullSafe(F.col(f"b.{k}")) for k in keys]
    joined = a.join(b, _all(same_key), "full_outer")
    in_old, in_new = F.col("a._n").isNotNull(), F.col("b._n").isNotNull()
    differs = (F.col("a._digest") != F.col("b._digest")) | (F.col("a._n") != F.col("b._n"))
    row = joined.agg(
        F.coalesce(F.sum("a._n"), F.lit(0)).alias("live_rows"),
        F.coalesce(F.sum("b._n"), F.lit(0)).alias("candidate_rows"),
        F.count_if(in_old & ~in_new).alias("only_live"),
        F.count_if(in_new & ~in_old).alias("only_candidate"),
        F.count_if(in_old & in_new & differs).alias("changed"),
    ).collect()[0]
    return TableComparison(
        table,
        batch,
        **{k: int(v) for k, v in row.asDict().items()},
        new_columns=tuple(c for c in new.columns if c not in old.columns),
        lost_columns=tuple(c for c in old.columns if c not in new.columns),
    )


def _digest(columns: list[str], side: DataFrame, other: DataFrame) -> Column:
    """Return a sum over row hashes: equal for equal contents in any order, repeated rows counted.

    Values are compared as the wider of the two types shows them: a decimal that only got more digits is no change.
    """
    if not columns:
        return F.lit(0).cast("decimal(38,0)").alias("_digest")
    types = dict(other.dtypes)
    values = [
        F.col(c) if types[c] == kind else F.col(c).cast("string") if "decimal" not in kind else _plain_decimal(c)
        for c, kind in side.dtypes
        if c in columns
    ]
    ordered = [v for _, v in sorted(zip([c for c, _ in side.dtypes if c in columns], values, strict=True))]
    return F.sum(F.xxhash64(*ordered).cast("decimal(38,0)")).alias("_digest")


def _plain_decimal(column: str) -> Column:
    return F.regexp_replace(F.col(column).cast("string"), r"\.?0+$", "")


def _all(conditions: list[Column]) -> Column:
    combined = conditions[0]
    for condition in conditions[1:]:
        combined = combined & condition
    return combined


def _new_table(table: TableName, batch: int, rows: DataFrame) -> TableComparison:
    count = rows.count()
    return TableComparison(table, batch, None, count, 0, count, 0, new_columns=tuple(rows.columns))


def _reached(setting: Setting, generation: Generation, bronze: str) -> Position:
    found = last_note(setting.lake.folder(generation.table, generation.number))
    return Position(-1, -1) if found is None else found[1].position.get(bronze, Position(-1, -1))


def _load(setting: Setting, generation: Generation, version: int | None = None) -> DataFrame:
    reader = setting.spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    return reader.load(str(setting.lake.folder(generation.table, generation.number)))


def comparison_facts(comparison: Comparison) -> Mapping[str, Any]:
    """The comparison as it is stored in the registry."""
    return {"ok": comparison.ok, "faults": list(comparison.faults), "tables": comparison.rows()}
