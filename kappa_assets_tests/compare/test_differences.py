"""Contents compared in Spark find what a comparison in plain Python finds, row by row and key by key."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from kappa_assets.compare.aggregates import aggregates
from kappa_assets.compare.comparison import MOST_SAMPLES, MOST_SLICES, Difference
from kappa_assets.compare.differences import Differences, differences

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMA = StructType(
    [
        StructField("k", IntegerType()),
        StructField("l", StringType()),
        StructField("day", StringType()),
        StructField("a", StringType()),
        StructField("b", StringType()),
        StructField("n", DecimalType(9, 2)),
    ]
)
NAMES = tuple(f.name for f in SCHEMA)
Row = tuple[Any, ...]

FEW = st.sampled_from(["x", "y", "", None])
ROWS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, None]),
        st.sampled_from(["p", None]),
        st.sampled_from(["2026-01-05", "2026-01-06"]),
        FEW,
        FEW,
        st.sampled_from([Decimal("1.50"), Decimal("-2.25"), None]),
    ),
    max_size=6,
)


def frame(spark: SparkSession, rows: Sequence[Row]) -> DataFrame:
    return spark.createDataFrame(list(rows), SCHEMA)


def by_key(rows: Sequence[Row], keys: int) -> dict[Row, Counter[Row]]:
    found: dict[Row, Counter[Row]] = defaultdict(Counter)
    for row in rows:
        found[row[:keys]][row[keys:]] += 1
    return found


def named(names: Sequence[str], values: Row) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def sample_by_key(live: dict[Row, Counter[Row]], candidate: dict[Row, Counter[Row]]) -> list[Difference]:
    """Return what is shown of two sides, none of which has more keys than the share of a kind of difference."""
    kinds = [
        sorted((key for key in live.keys() & candidate.keys() if live[key] != candidate[key]), key=in_order),
        sorted(live.keys() - candidate.keys(), key=in_order),
        sorted(candidate.keys() - live.keys(), key=in_order),
    ]
    shown = []
    for keys in filter(None, kinds):
        of_kind = [d for key in keys for d in at_key(key, live.get(key, Counter()), candidate.get(key, Counter()))]
        shown += of_kind[: MOST_SAMPLES // len(list(filter(None, kinds)))]
    return shown


def at_key(key: Row, live: Counter[Row], candidate: Counter[Row]) -> list[Difference]:
    at, names = named(NAMES[:2], key), NAMES[2:]
    lost, new = (sorted(rows.elements(), key=in_order) for rows in (live - candidate, candidate - live))
    if len(lost) == len(new) == 1:
        sides = zip(names, lost[0], new[0], strict=True)
        return [Difference(at, n, text(old), text(fresh)) for n, old, fresh in sides if old != fresh]
    lines = [[named(names, row) for row in rows] for rows in (lost, new)]
    return [Difference(at, None, old, fresh) for old, fresh in zip_longest(*lines)]


def text(value: object) -> str | None:
    return None if value is None else str(value)


def in_order(values: Row) -> str:
    return str(tuple(map(text, values)))


A_NULL_MORE = (
    [(1, "p", "2026-01-05", "x", "x", None)] * 4 + [(2, "p", "2026-01-05", "x", "x", None)],
    [
        (1, "p", "2026-01-05", "x", "x", None),
        (2, "p", "2026-01-05", "x", "x", None),
        (2, "p", "2026-01-05", "x", None, None),
    ],
)
"""Two sides whose column b differs at the second key by a null alone."""


@settings(max_examples=8)
@given(live=ROWS, candidate=ROWS)
@example(*A_NULL_MORE)
def test_by_key_what_differs_is_what_differs_in_plain_python(
    spark: SparkSession, live: list[Row], candidate: list[Row]
) -> None:
    found = differences(frame(spark, live), frame(spark, candidate), ("k", "l"))
    a, b = by_key(live, 2), by_key(candidate, 2)
    changed = {key for key in a.keys() & b.keys() if a[key] != b[key]}
    assert (found.only_live, found.only_candidate) == (len(a.keys() - b.keys()), len(b.keys() - a.keys()))
    assert found.changed == len(changed)
    columns: Counter[str] = Counter()
    for key in changed:
        for i, name in enumerate(NAMES[2:]):
            sides = [Counter(values[i] for values in side[key].elements()) for side in (a, b)]
            columns[name] += sides[0] != sides[1]
    assert found.columns == {name: n for name, n in columns.items() if n}
    assert list(found.sample) == sample_by_key(a, b)


@settings(max_examples=8)
@given(live=ROWS, candidate=ROWS)
def test_without_keys_rows_are_counted_and_repeated_ones_count_each(
    spark: SparkSession, live: list[Row], candidate: list[Row]
) -> None:
    found = differences(frame(spark, live), frame(spark, candidate), ())
    lost, new = Counter(live) - Counter(candidate), Counter(candidate) - Counter(live)
    assert (found.only_live, found.only_candidate) == (lost.total(), new.total())
    assert (found.changed, found.columns) == (0, {})
    told = Counter((d.key, d.column, d.live, d.candidate) for d in found.sample)
    gone = Counter({(named(NAMES, row), None, "there", None): n for row, n in lost.items()})
    assert told == gone + Counter({(named(NAMES, row), None, None, "there"): n for row, n in new.items()})


@settings(max_examples=5)
@given(live=ROWS, candidate=ROWS)
def test_aggregates_are_the_sums_in_all_and_of_slices_that_differ(
    spark: SparkSession, live: list[Row], candidate: list[Row]
) -> None:
    found = aggregates(frame(spark, live), frame(spark, candidate), ("k",), "day")

    def sums(rows: list[Row], day: str | None) -> tuple[Decimal, Decimal]:
        chosen = [row for row in rows if day in (None, row[2])]
        return Decimal(len(chosen)), sum((row[5] for row in chosen if row[5] is not None), Decimal(0))

    expected: dict[tuple[str | None, str], tuple[Decimal | None, Decimal | None]] = {}
    days = {row[2] for row in [*live, *candidate]}
    for day in (None, *days):
        for measure, old, new in zip(("rows", "n"), sums(live, day), sums(candidate, day), strict=True):
            if day is None or old != new:
                expected[day, measure] = (old, new)
    told = {
        (a.slice, a.measure): tuple(None if x is None else Decimal(x) for x in (a.live, a.candidate))
        for a in found.measures
    }
    absent = {key: tuple(x or Decimal(0) for x in values) for key, values in told.items()}
    assert {k: v for k, v in absent.items() if k[0] is None or v[0] != v[1]} == expected
    assert (found.live_rows, found.candidate_rows) == (len(live), len(candidate))
    a, b = (Counter(rows) for rows in (live, candidate))
    assert set(found.differing) == {row[2] for row in (a - b) + (b - a)}
    assert found.slices_differ == len(found.differing)


@settings(max_examples=5)
@given(live=ROWS, candidate=ROWS)
def test_slices_that_are_alike_can_be_left_out_of_a_comparison_by_key(
    spark: SparkSession, live: list[Row], candidate: list[Row]
) -> None:
    old, new = frame(spark, live), frame(spark, candidate)
    found = aggregates(old, new, ("day", "k"), "day")
    old_part, new_part = found.of_differing_slices(old), found.of_differing_slices(new)
    told = differences(old_part, new_part, ("day", "k")) if found.differing else Differences()
    assert told == differences(old, new, ("day", "k"))


def test_a_value_that_moves_to_the_next_column_is_a_change(spark: SparkSession) -> None:
    (old, new) = ((1, "p", "d", "x", None, None), (1, "p", "d", None, "x", None))
    found = differences(frame(spark, [old]), frame(spark, [new]), ("k",))
    assert (found.changed, found.columns) == (1, {"a": 1, "b": 1})
    assert [(d.key, d.column, d.live, d.candidate) for d in found.sample] == [
        ("k=1", "a", "x", None),
        ("k=1", "b", None, "x"),
    ]


def test_two_rows_at_one_address_that_swap_one_value_are_a_change_of_no_single_column(spark: SparkSession) -> None:
    old = [(1, "p", "d", "x", "1", None), (1, "p", "d", "y", "2", None)]
    new = [(1, "p", "d", "x", "2", None), (1, "p", "d", "y", "1", None)]
    found = differences(frame(spark, old), frame(spark, new), ("k", "l"))
    assert (found.changed, found.columns) == (1, {})
    assert [d.column for d in found.sample] == [None, None]


def test_a_type_that_only_got_wider_is_no_change_and_another_value_is(spark: SparkSession) -> None:
    def typed(n: str, kind: str) -> DataFrame:
        return spark.createDataFrame([(1, Decimal(n))], "k int, n decimal(20,2)").selectExpr(
            "k", f"cast(n as {kind}) n"
        )

    for value in ("100", "0", "-10.50", "7.25", "1000"):
        exact = value in ("100", "0", "1000")
        for kind in ("decimal(30,6)", "decimal(20,2)", *(("bigint", "int") if exact else ())):
            same = differences(typed(value, "decimal(10,2)"), typed(value, kind), ("k",))
            assert (same.changed, same.columns) == (0, {}), (value, kind)
    for kind in ("decimal(30,6)", "bigint"):
        assert differences(typed("100", "decimal(10,2)"), typed("10", kind), ("k",)).columns == {"n": 1}


def test_every_type_can_be_compared(spark: SparkSession) -> None:
    schema = StructType(
        [
            StructField("k", LongType()),
            StructField("m", MapType(StringType(), IntegerType())),
            StructField("s", StructType([StructField("x", StringType())])),
            StructField("l", ArrayType(StringType())),
            StructField("t", TimestampType()),
            StructField("d", DateType()),
            StructField("y", BinaryType()),
        ]
    )
    now, day = dt.datetime(2026, 1, 5, 8), dt.date(2026, 1, 5)  # noqa: DTZ001 -- the session's zone is UTC
    live = spark.createDataFrame([(1, {"a": 1}, ("x",), ["l"], now, day, b"\x00\xff")], schema)
    other = spark.createDataFrame([(1, {"a": 2}, ("y",), ["m"], now + dt.timedelta(1), None, b"\x01")], schema)
    for keys in (("k",), ()):
        assert differences(live, live, keys).sample == ()
        assert len(differences(live, other, keys).sample) == (6 if keys else 2)
    assert set(differences(live, other, ("k",)).columns) == set("msltdy")


def test_what_is_kept_is_bounded(spark: SparkSession) -> None:
    days = spark.range(150).selectExpr("id k", "cast(id as string) day", "repeat('v', 5000) v", "id n")
    found = differences(days, days.selectExpr("k", "day", "concat(v, 'w') v", "n + 1 n"), ("k",))
    assert (found.changed, len(found.sample)) == (150, MOST_SAMPLES)
    assert max(len(str(d.live)) for d in found.sample) < 250
    sums = aggregates(days, days.selectExpr("k", "day", "v", "n + 1 n"), ("k",), "day")
    assert sums.slices_differ == 150
    assert len({a.slice for a in sums.measures if a.slice is not None}) == MOST_SLICES


def test_a_column_that_is_called_rows_is_not_taken_for_their_number(spark: SparkSession) -> None:
    old = spark.createDataFrame([(1, 500), (2, 600)], "k int, rows int")
    new = spark.createDataFrame([(1, 500), (2, 601), (3, 1)], "k int, rows int")
    found = aggregates(old, new, ("k",), None)
    assert (found.live_rows, found.candidate_rows) == (2, 3)
    assert [(a.live, a.candidate) for a in found.measures] == [("2", "3"), ("1100", "1102")]


def test_a_sum_too_large_for_a_decimal_is_told_as_unknown_not_as_an_error(spark: SparkSession) -> None:
    huge = spark.range(20).selectExpr("cast(repeat('9', 38) as decimal(38,0)) n", "id k")
    rows, n = aggregates(huge, huge, ("k",), None).measures
    assert (rows.live, n.live, n.candidate) == ("20", None, None)
