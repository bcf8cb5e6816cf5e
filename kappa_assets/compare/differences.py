"""Two contents of a table compared in Spark: by key, or row by row where there is no key, in any order of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice, zip_longest

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from kappa_assets.compare.comparison import MOST_SAMPLES, Difference
from kappa_assets.compare.row_digest import Value, comparable, row_digest

_LONGEST = 200
"""Characters kept of a value in a sample: the registry is read whole."""
_ROWS_AT_ONE_KEY = 1_000
_BITS_DROPPED = 24
"""Of a column's 64-bit hash: its sum over up to 16 million rows at one key stays in 64 bits."""

_KINDS = ("changed", "only_live", "only_candidate")

_Values = tuple[str | None, ...]


@dataclass(frozen=True)
class Differences:
    """What differs between two sides. Keys are counted; without keys, rows."""

    only_live: int = 0
    only_candidate: int = 0
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    sample: tuple[Difference, ...] = ()


def differences(live: DataFrame, candidate: DataFrame, keys: Sequence[str]) -> Differences:
    """Return how two contents differ in the columns both have; without `keys`, how often each row occurs.

    Several rows may share a key: their values are then compared as a heap. Null equals null. Values of a column whose
    type changed are compared as people read them: a decimal that only got more digits is no change.
    """
    shared = [c for c in live.columns if c in candidate.columns]
    by = list(keys) or shared
    values = [c for c in shared if c not in by]
    a, b = _Side(live, candidate, by, values), _Side(candidate, live, by, values)
    # Both sides are grouped once: what is kept is of differing keys alone, on disk where memory does not hold it.
    differing = _differing(a, b, by_key=bool(keys)).persist(StorageLevel.DISK_ONLY)
    try:
        counts = _counts(differing, values)
        kinds = [kind for kind in _KINDS if kind in counts]
        sample = tuple(_sample(a, b, differing, kinds, by_key=bool(keys))) if kinds else ()
    finally:
        differing.unpersist()
    n = {kind: found["_keys" if keys else "_rows"] for kind, found in counts.items()}
    columns = {c: counts["changed"][f"_d{i}"] for i, c in enumerate(values)} if "changed" in counts else {}
    return Differences(**n, columns={c: changed for c, changed in columns.items() if changed}, sample=sample)


class _Side:
    """One side, its keys as `_k0`, `_k1`, ... and its values as `_v0`, ..., comparable with those of the other."""

    def __init__(self, rows: DataFrame, other: DataFrame, by: Sequence[str], values: Sequence[str]) -> None:
        self.names = (*by, *values)
        self.keys = [f"_k{i}" for i in range(len(by))]
        self.values = [f"_v{i}" for i in range(len(values))]
        found = comparable(self.names, rows.schema, other.schema)
        named = zip(found, [*self.keys, *self.values], strict=True)
        self.rows = rows.select(*[one.column.alias(name) for one, name in named])
        self._compared = [Value(F.col(n), v.kind) for n, v in zip(self.values, found[len(by) :], strict=True)]

    def digests(self, sign: int) -> DataFrame:
        """Return, for each row, its key, a 1 for its side, and digests of the row and of each column times `sign`."""
        # A null alone hashes to 42, Spark's seed, of which no bit is left after the shift: it would not be counted.
        columns = [F.shiftright(F.xxhash64(*v.hashed), _BITS_DROPPED) * sign for v in self._compared]
        return self.rows.select(
            *self.keys,
            F.lit(int(sign > 0)).alias("_live"),
            F.lit(int(sign < 0)).alias("_candidate"),
            (row_digest(self._compared) * sign).alias("_row"),
            *[c.alias(f"_d{i}") for i, c in enumerate(columns)],
        )

    def texts(self, picked: DataFrame) -> dict[tuple[str, _Values], list[_Values]]:
        """Return the rows at the picked keys, as text, by kind of difference and key."""
        same = [F.col(f"r.{k}").eqNullSafe(F.col(f"p.{k}")) for k in self.keys]
        kinds = dict(self.rows.dtypes)
        found = self.rows.alias("r").join(F.broadcast(picked.alias("p")), _all(same))
        own = [_text(F.col(f"r.{c}"), kinds[c]).alias(c) for c in (*self.keys, *self.values)]
        shown = found.select("p._kind", *own)
        by_key: dict[tuple[str, _Values], list[_Values]] = {}
        for kind, *row in shown.limit(MOST_SAMPLES * _ROWS_AT_ONE_KEY).collect():
            key, values = tuple(row[: len(self.keys)]), tuple(row[len(self.keys) :])
            by_key.setdefault((kind, key), []).append(values)
        return by_key


def _differing(a: _Side, b: _Side, *, by_key: bool) -> DataFrame:
    """Return the keys that differ: what kind of difference, by how many rows, and whether in each column.

    What is equal on both sides adds up to nothing.
    """
    both = a.digests(1).unionAll(b.digests(-1))
    digests = [f"_d{i}" for i in range(len(a.values))]
    sums = [F.sum(c).alias(c) for c in ("_live", "_candidate", "_row", *digests)]
    found = both.groupBy(*a.keys).agg(*sums)
    columns = [(F.col(c) != 0).alias(c) for c in digests]
    rows = F.abs(F.col("_live") - F.col("_candidate")).alias("_rows")
    return found.select(*a.keys, _kind(by_key=by_key).alias("_kind"), rows, *columns).where("_kind IS NOT NULL")


def _kind(*, by_key: bool) -> Column:
    """Return the kind of difference of a key, or null where there is none."""
    live, candidate = F.col("_live"), F.col("_candidate")
    if not by_key:
        return F.when(live > candidate, "only_live").when(candidate > live, "only_candidate")
    changed = (live != candidate) | (F.col("_row") != 0)
    return F.when(candidate == 0, "only_live").when(live == 0, "only_candidate").when(changed, "changed")


def _counts(differing: DataFrame, values: Sequence[str]) -> dict[str, Row]:
    """Return, for each kind of difference found, how many keys, rows, and changes in each column."""
    columns = [F.count_if(f"_d{i}").alias(f"_d{i}") for i in range(len(values))]
    counted = differing.groupBy("_kind").agg(F.count(F.lit(1)).alias("_keys"), F.sum("_rows").alias("_rows"), *columns)
    return {row["_kind"]: row for row in counted.collect()}


def _sample(a: _Side, b: _Side, differing: DataFrame, kinds: Sequence[str], *, by_key: bool) -> Iterator[Difference]:
    """Yield some differing values, about as many of each kind of difference, the smallest keys first."""
    each = MOST_SAMPLES // len(kinds)
    smallest = [differing.where(F.col("_kind") == kind).orderBy(*a.keys).limit(each) for kind in kinds]
    picked = reduce(DataFrame.unionAll, smallest).select("_kind", *a.keys)
    live, candidate = a.texts(picked), b.texts(picked)
    for kind in kinds:
        keys = sorted({key for told, key in (*live, *candidate) if told == kind}, key=str)
        found = (
            difference
            for at in keys
            for difference in _at_key(a, at, live.get((kind, at), []), candidate.get((kind, at), []), by_key=by_key)
        )
        yield from islice(found, each)


def _at_key(
    side: _Side, at: _Values, live: Sequence[_Values], candidate: Sequence[_Values], *, by_key: bool
) -> Iterator[Difference]:
    """Yield what differs at one key: value by value where one row changed, else row by row."""
    names = side.names[len(side.keys) :]
    key = _named(side.names, at)
    lost, new = Counter(live) - Counter(candidate), Counter(candidate) - Counter(live)
    if lost.total() == new.total() == 1:
        ((before,), (after,)) = (lost, new)
        for name, old, fresh in zip(names, before, after, strict=True):
            if old != fresh:
                yield Difference(key, name, old, fresh)
        return
    for old_row, new_row in zip_longest(sorted(lost.elements(), key=str), sorted(new.elements(), key=str)):
        rows = [None if r is None else _named(names, r) if by_key else "there" for r in (old_row, new_row)]
        yield Difference(key, None, *rows)


def _named(names: Sequence[str], values: _Values) -> str:
    text = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _text(value: Column, kind: str) -> Column:
    if kind == "binary":
        return F.hex(value)
    text = F.to_json(F.struct(value)) if "<" in kind else value.cast("string")
    return F.when(F.length(text) <= _LONGEST, text).otherwise(F.concat(F.left(text, F.lit(_LONGEST)), F.lit("...")))


def _all(conditions: Sequence[Column]) -> Column:
    return reduce(Column.__and__, conditions)
