"""Two contents of a table compared in Spark: by key, or row by row where there is no key, in any order of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import zip_longest

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from kappa_assets.replay.comparison import MOST_SAMPLES, Difference

_WHOLE = ("tinyint", "smallint", "int", "bigint")
_LONGEST = 200
"""Characters kept of a value in a sample: the registry is read whole."""
_ROWS_AT_ONE_KEY = 1_000


@dataclass(frozen=True)
class Differences:
    """What two sides have in common and what not. Keys are counted; without keys, rows."""

    live_rows: int
    candidate_rows: int
    only_live: int
    only_candidate: int
    changed: int
    columns: Mapping[str, int]
    sample: tuple[Difference, ...]


def differences(live: DataFrame, candidate: DataFrame, keys: Sequence[str]) -> Differences:
    """Return how two contents differ in the columns both have; without `keys`, how often each row occurs.

    Several rows may share a key: their values are then compared as a heap. Null equals null. Values of a column whose
    type changed are compared as people read them: a decimal that only got more digits is no change.
    """
    shared = [c for c in live.columns if c in candidate.columns]
    by = list(keys) or shared
    values = [c for c in shared if c not in by]
    a, b = _Side(live, candidate, by, values), _Side(candidate, live, by, values)
    joined = _joined(a, b, len(by))
    counts = joined.agg(*_counts(len(values), by_key=bool(keys))).collect()[0]
    n = {name: int(counts[name]) for name in ("live_rows", "candidate_rows", "only_live", "only_candidate", "changed")}
    columns = {c: int(counts[f"_c{i}"]) for i, c in enumerate(values)} if keys else {}
    kinds = [kind for kind in ("changed", "only_live", "only_candidate") if n[kind]]
    sample = tuple(_sample(a, b, joined, kinds, by_key=bool(keys))) if kinds else ()
    return Differences(**n, columns={c: changed for c, changed in columns.items() if changed}, sample=sample)


class _Side:
    """One side, its keys as `_k0`, `_k1`, ... and its values as `_v0`, ..., comparable with those of the other."""

    def __init__(self, rows: DataFrame, other: DataFrame, by: Sequence[str], values: Sequence[str]) -> None:
        own, others = dict(rows.dtypes), dict(other.dtypes)
        self.names = (*by, *values)
        self.keys = [f"_k{i}" for i in range(len(by))]
        self.values = [f"_v{i}" for i in range(len(values))]
        self.rows = rows.select(
            *[
                _comparable(c, own[c], others[c]).alias(name)
                for c, name in zip(self.names, [*self.keys, *self.values], strict=True)
            ]
        )

    def by_key(self) -> DataFrame:
        """Return one row per key: how many rows, and a digest of each column and of whole rows.

        A digest is a sum over hashes: equal for equal contents in any order, repeated rows counted. That of a row
        hashes what is null too: a hash of columns leaves nulls out, and would not see a value move to its neighbour.
        """
        digests = [_digest(F.xxhash64(v)).alias(f"_d{i}") for i, v in enumerate(self.values)]
        whole = [part for v in self.values for part in (F.isnull(v), F.col(v))]
        row = _digest(F.xxhash64(*whole)) if whole else F.lit(0)
        return self.rows.groupBy(*self.keys).agg(F.count(F.lit(1)).alias("_n"), row.alias("_d"), *digests)

    def texts(self, picked: DataFrame) -> dict[tuple[str | None, ...], list[tuple[str | None, ...]]]:
        """Return the rows at the picked keys, as text, by key."""
        same = [F.col(f"r.{k}").eqNullSafe(F.col(f"p.{k}")) for k in self.keys]
        kinds = dict(self.rows.dtypes)
        found = self.rows.alias("r").join(F.broadcast(picked.alias("p")), _all(same), "left_semi")
        shown = found.select(*[_text(c, kinds[c]).alias(c) for c in (*self.keys, *self.values)])
        by_key: dict[tuple[str | None, ...], list[tuple[str | None, ...]]] = {}
        for row in shown.limit(MOST_SAMPLES * _ROWS_AT_ONE_KEY).collect():
            key, values = tuple(row[: len(self.keys)]), tuple(row[len(self.keys) :])
            by_key.setdefault(key, []).append(values)
        return by_key


def _joined(a: _Side, b: _Side, keys: int) -> DataFrame:
    same = [F.col(f"a._k{i}").eqNullSafe(F.col(f"b._k{i}")) for i in range(keys)]
    return a.by_key().alias("a").join(b.by_key().alias("b"), _all(same), "full_outer")


def _counts(values: int, *, by_key: bool) -> list[Column]:
    a, b = F.coalesce("a._n", F.lit(0)), F.coalesce("b._n", F.lit(0))
    counted = {"live_rows": F.sum(a), "candidate_rows": F.sum(b)}
    if by_key:
        counted |= {kind: F.count_if(condition) for kind, condition in _kinds(by_key=True).items()}
        counted |= {f"_c{i}": F.count_if(F.col(f"a._d{i}") != F.col(f"b._d{i}")) for i in range(values)}
    else:
        lost, new = F.greatest(a - b, F.lit(0)), F.greatest(b - a, F.lit(0))
        counted |= {"only_live": F.sum(lost), "only_candidate": F.sum(new), "changed": F.lit(0)}
    return [F.coalesce(count, F.lit(0)).alias(name) for name, count in counted.items()]


def _kinds(*, by_key: bool) -> dict[str, Column]:
    """Return what each kind of difference means for a joined key."""
    a, b = F.coalesce("a._n", F.lit(0)), F.coalesce("b._n", F.lit(0))
    if not by_key:
        return {"only_live": a > b, "only_candidate": b > a}
    both = (a > 0) & (b > 0)
    return {
        "changed": both & ((a != b) | (F.col("a._d") != F.col("b._d"))),
        "only_live": b == 0,
        "only_candidate": a == 0,
    }


def _sample(a: _Side, b: _Side, joined: DataFrame, kinds: Sequence[str], *, by_key: bool) -> Iterator[Difference]:
    """Yield some differing values, about as many of each kind of difference, the smallest keys first."""
    each = MOST_SAMPLES // len(kinds)
    key = [F.coalesce(f"a.{k}", f"b.{k}").alias(k) for k in a.keys]
    meant = {kind: condition for kind, condition in _kinds(by_key=by_key).items() if kind in kinds}
    kind = F.coalesce(*[F.when(condition, F.lit(name)) for name, condition in meant.items()])
    # The join is made once: of keys alone, which the disk holds where memory does not.
    differing = joined.select(*key, kind.alias("_kind")).where("_kind IS NOT NULL").persist(StorageLevel.DISK_ONLY)
    try:
        for name in kinds:
            picked = differing.where(F.col("_kind") == name).orderBy(*a.keys).limit(each).select(*a.keys)
            live, candidate = a.texts(picked), b.texts(picked)
            found = [
                difference
                for at in sorted(live.keys() | candidate.keys(), key=str)
                for difference in _at_key(a, at, live.get(at, []), candidate.get(at, []), by_key=by_key)
            ]
            yield from found[:each]
    finally:
        differing.unpersist()


_Values = tuple[str | None, ...]


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


def _comparable(column: str, kind: str, other: str) -> Column:
    """Return a column in a form that equal values have on both sides, and that can be grouped and hashed."""
    value = F.col(f"`{column}`")
    if kind == other:
        return F.to_json(F.struct(value)) if "map<" in kind or "variant" in kind else value
    if _is_exact_number(kind) and _is_exact_number(other):
        return F.regexp_replace(value.cast("string"), r"(?:(\.\d*?[1-9])0+|\.0+)$", "$1")
    return F.to_json(F.struct(value)) if "<" in kind or "variant" in kind else value.cast("string")


def _is_exact_number(kind: str) -> bool:
    return kind.startswith("decimal") or kind in _WHOLE


def _digest(hashes: Column) -> Column:
    return F.sum(hashes.cast("decimal(38,0)"))


def _text(column: str, kind: str) -> Column:
    value = F.col(column)
    if kind == "binary":
        return F.hex(value)
    text = F.to_json(F.struct(value)) if "<" in kind else value.cast("string")
    return F.when(F.length(text) <= _LONGEST, text).otherwise(F.concat(F.left(text, F.lit(_LONGEST)), F.lit("...")))


def _all(conditions: Sequence[Column]) -> Column:
    return reduce(Column.__and__, conditions)
