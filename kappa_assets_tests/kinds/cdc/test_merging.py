"""The same changes give the same rows, in any order, however they are split and repeated: those the source held."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import cdc
from kappa_assets.declare.options.cdc import Cdc
from kappa_assets.kinds.cdc.merging import marked, merged, shown
from kappa_assets_tests.kinds.cdc.database import UNTOLD, Did, all_versions, newest_states

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMA = (
    "case int, k string, s int, t int, op string, a int, b string, "
    "_batch_id bigint, _row bigint, _arrived_at timestamp, _arrival_date date"
)
TOLD = partial(cdc, keys=["case", "k"], sequence_by=["s", "t"], delete_when="op = 'd'")
NOW = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)

DID = st.builds(
    Did,
    at=st.tuples(st.integers(0, 3), st.integers(0, 1)),
    key=st.tuples(st.sampled_from("xy")),
    deletes=st.sampled_from([False, False, True]),
    content=st.tuples(st.sampled_from([None, 0, 1]), st.sampled_from([None, "", "p"])),
)
Parts = list[list[Did]]


@st.composite
def split(draw: st.DrawFn, did: st.SearchStrategy[Did] = DID) -> Parts:
    """Draw changes, numbered as they are told, some of them told again, in any order and as up to three batches."""
    changes = [replace(one, row=n) for n, one in enumerate(draw(st.lists(did, max_size=8)))]
    again = draw(st.lists(st.sampled_from(changes), max_size=3)) if changes else []
    told = draw(st.permutations([*changes, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(told)), min_size=2, max_size=2)))
    return [told[: cuts[0]], told[cuts[0] : cuts[1]], told[cuts[1] :]]


def line(case: int, one: Did) -> tuple[Any, ...]:
    op = "t" if one.key is None else "d" if one.deletes else "u"
    return (case, one.key[0] if one.key else "none", *one.at, op, *one.content, 0, one.row, NOW, NOW.date())


def kept(spark: SparkSession, declared: Cdc, cases: Sequence[Parts]) -> DataFrame:
    """Return the state after the batches of all cases, each merged with what was kept of those before."""
    batches = [
        spark.createDataFrame([line(n, one) for n, parts in enumerate(cases) for one in parts[batch]], SCHEMA)
        for batch in range(3)
    ]
    fresh = [marked(declared, batch) for batch in batches]
    return reduce(
        lambda state, changes: merged(declared, state.unionByName(changes)), fresh[1:], merged(declared, fresh[0])
    )


def rows(frame: DataFrame, case: int | None = None) -> Counter[tuple[Any, ...]]:
    found = frame.collect()
    with_versions = "_valid_from" in frame.columns
    return Counter(
        (
            ((r["case"],) if case is None else ()),
            (r["k"],),
            (r["a"], r["b"]),
            r["_row"],
            *((tuple(r["_valid_from"]), r["_valid_to"] and tuple(r["_valid_to"])) if with_versions else ()),
            *((r["_is_current"] == (r["_valid_to"] is None),) if with_versions else ()),
        )
        for r in found
    )


def expected(told: Sequence[Counter[tuple[Any, ...]]], *end: bool) -> Counter[tuple[Any, ...]]:
    return Counter(((case,), *one, *end) for case, counted in enumerate(told) for one in counted.elements())


def changes_of(parts: Parts) -> list[Did]:
    return [one for part in parts for one in part]


X, Y = ("x",), ("y",)
BY_HAND: list[Parts] = [
    # out of order, repeated, an older update after a delete, and a row that comes back
    [[Did((2, 0), X, False, (1, "p"), 0)], [Did((1, 0), X, False, (0, "p"), 1)], [Did((2, 0), X, False, (1, "p"), 2)]],
    [[Did((3, 0), X, True, row=0)], [Did((2, 1), X, False, (1, None), 1)], []],
    [[Did((1, 0), X, True, row=0)], [Did((2, 0), X, False, (1, "p"), 1), Did((0, 0), X, False, (1, "p"), 2)], []],
    # of one moment: the same, another content, a delete; of another key at that moment
    [[Did((1, 0), X, False, (0, "p"), 0)], [Did((1, 0), X, False, (1, ""), 1), Did((1, 0), Y, False, (0, ""), 2)], []],
    [[Did((1, 0), X, True, row=0)], [Did((1, 0), X, False, (1, "p"), 1)], [Did((1, 0), X, False, (None, None), 2)]],
    # the same again at another moment, and a value that comes back
    [[Did((n, 0), X, False, (a, "p"), n) for n, a in enumerate([0, 0, 1, 0])], [], []],
    # the second of two columns of the sequence decides; deletes of what was never there
    [[Did((1, 1), X, False, (1, "p"), 0)], [Did((1, 0), X, True, row=1)], [Did((0, 1), Y, True, row=2)]],
]


@settings(max_examples=2)
@given(st.lists(split(), min_size=20, max_size=40))
@example(BY_HAND)
def test_any_order_split_and_repetition_gives_what_the_source_held(
    interpreted: SparkSession, cases: list[Parts]
) -> None:
    told = [changes_of(parts) for parts in cases]
    one = TOLD(scd=1)
    assert rows(shown(one, kept(interpreted, one, cases))) == expected([newest_states(changes) for changes in told])
    two = TOLD(scd=2)
    state = kept(interpreted, two, cases).persist()
    assert rows(shown(two, state)) == expected([all_versions(changes) for changes in told], True)
    by_a = TOLD(scd=2, track=["a"])
    assert rows(shown(by_a, state)) == expected([all_versions(changes, (0,)) for changes in told], True)
    state.unpersist()


PARTIAL = st.builds(
    replace, DID, content=st.tuples(st.sampled_from([0, 1]), st.sampled_from([None, "p", UNTOLD, UNTOLD]))
)
IN_PART: list[Parts] = [
    # the value comes before, after, in the same moment, before a delete, and never
    [[Did((1, 0), X, False, (0, "p"), 0)], [Did((2, 0), X, False, (1, UNTOLD), 1)], []],
    [
        [Did((3, 0), X, False, (1, UNTOLD), 0)],
        [Did((2, 0), X, False, (1, UNTOLD), 1)],
        [Did((1, 0), X, False, (0, "p"), 2)],
    ],
    [
        [Did((1, 0), X, False, (0, "p"), 0), Did((1, 0), X, False, (1, UNTOLD), 1)],
        [Did((0, 0), X, False, (1, None), 2)],
        [],
    ],
    [[Did((1, 0), X, False, (0, "p"), 0), Did((3, 0), X, False, (1, UNTOLD), 1)], [Did((2, 0), X, True, row=2)], []],
    [[Did((1, 0), X, False, (0, UNTOLD), 0)], [Did((1, 0), Y, True, row=1)], [Did((2, 0), Y, False, (0, UNTOLD), 2)]],
]


@settings(max_examples=2)
@given(st.lists(split(PARTIAL), min_size=20, max_size=40))
@example(IN_PART)
def test_a_value_that_a_change_does_not_tell_is_the_one_before_it(
    interpreted: SparkSession, cases: list[Parts]
) -> None:
    told = [changes_of(parts) for parts in cases]
    one, two = TOLD(scd=1, unavailable=UNTOLD), TOLD(scd=2, unavailable=UNTOLD)
    assert rows(shown(one, kept(interpreted, one, cases))) == expected([newest_states(changes) for changes in told])
    assert rows(shown(two, kept(interpreted, two, cases))) == expected(
        [all_versions(changes) for changes in told], True
    )


TRUNCATED = PARTIAL | st.builds(Did, at=st.tuples(st.integers(0, 3), st.integers(0, 1)), key=st.none())


@settings(max_examples=3)
@given(split(TRUNCATED))
@example(
    [
        [Did((2, 0), None, row=0), Did((3, 0), X, False, (1, "p"), 1)],
        [Did((1, 0), X, False, (1, "p"), 2), Did((2, 0), Y, False, (1, "p"), 3)],
        [Did((1, 0), None, row=4), Did((1, 1), Y, False, (0, ""), 5)],
    ]
)
def test_a_truncate_deletes_all_that_is_older_whenever_it_comes(interpreted: SparkSession, parts: Parts) -> None:
    changes = changes_of(parts)
    one = TOLD(scd=1, truncate_when="op = 't'", unavailable=UNTOLD)
    found = rows(shown(one, kept(interpreted, one, [parts])))
    assert found == expected([newest_states(changes)])
    two = TOLD(scd=2, truncate_when="op = 't'", unavailable=UNTOLD)
    assert rows(shown(two, kept(interpreted, two, [parts]))) == expected([all_versions(changes)], True)


def test_what_spark_cannot_order_counts_as_json(interpreted: SparkSession) -> None:
    declared = cdc(keys=["k"], sequence_by="s", scd=2)
    changes = interpreted.createDataFrame(
        [("x", 0, 1), ("x", 0, 2), ("x", 1, 2), ("x", 2, 3)], "k string, s int, v int"
    )
    lineage = {"_batch_id": F.lit(0), "_row": F.lit(0), "_arrived_at": F.lit(NOW), "_arrival_date": F.lit(NOW.date())}
    values = F.map_from_arrays(F.array(F.lit("v")), F.array(F.col("v")))
    told = changes.withColumns({**lineage, "m": values, "nested": F.struct(F.array(values).alias("in"))}).drop("v")
    for turned in (told, told.orderBy(F.col("s").desc())):
        found = shown(declared, merged(declared, marked(declared, turned))).orderBy("_valid_from").collect()
        assert [(r["m"], r["_valid_from"], r["_valid_to"]) for r in found] == [({"v": 2}, 0, 2), ({"v": 3}, 2, None)]
