"""Whatever function of two upstreams is taken, its touched groups, batch by batch, come to what it gives of everything.

What is refused would not. Which functions are taken Spark's plan tells. Whether that is right is tried with another
engine, which runs the same text a hundred times faster; a part of what is taken is followed with Spark itself too.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import silver
from kappa_assets.kinds.touched import recomputed_joined
from kappa_assets.logic.analysed import Node, analysed, readings
from kappa_assets.logic.groups import judge_joined
from kappa_assets.logic.row_expressions import Reading
from kappa_assets.logic.traced_plan import trace
from kappa_assets_tests.kinds.joined_grammar import ENDS, JOINS, NAMES, SCHEMA, SIDES, STEPS, Made, life

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Silver
    from kappa_assets.logic.verdict import Verdict
    from kappa_assets_tests.kinds.joined_grammar import Batch, Row

Rows = Counter[str]
"""Rows as texts, and how often each is there."""
NO_GROUP = "which names its groups, in any column as it is"
"""Nothing can be recomputed then, so no counterexample is looked for."""
SEEDS = 12
"""Lives that what is taken is tried on."""
MANY_SEEDS = 400
"""Lives in which a counterexample to what is refused is looked for."""


class Duck:
    """The other engine."""

    def __init__(self, engine: duckdb.DuckDBPyConnection) -> None:
        self._engine = engine

    def answer(self, made: Made, rows: Sequence[list[Row]]) -> Rows:
        """Return what a function gives of the rows of both sides."""
        for side, of_side in zip(SIDES, rows, strict=True):
            columns = list(zip(*of_side, strict=True)) or [()] * len(NAMES)
            kinds = [pa.string(), pa.string(), pa.int64(), pa.int64(), pa.int64()]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
            self._engine.register(side, pa.Table.from_arrays(arrays, list(NAMES)))
        found = self._engine.execute(made.sql().format(s="s", c="c"))
        names = [one[0] for one in found.description]
        return Counter(_text(dict(zip(names, row, strict=True))) for row in found.fetchall())

    def by_batches(self, made: Made, batches: list[Batch]) -> Rows:
        """Return what a table holds that recomputes the groups which each batch touches."""
        holds = self.answer(made, batches[0].rows)
        for batch in batches[1:]:
            touched = {_of(row, made.by) for images in batch.images for row in images or ()}
            rows = [[row for row in of_side if _of(row, made.by) in touched] for of_side in batch.rows]
            holds = _without(holds, {_text(dict(zip(made.by, group, strict=True))) for group in touched}, made.by)
            holds.update(self.answer(made, rows))
        return holds


@pytest.fixture(scope="module")
def duck() -> Iterator[Duck]:
    with duckdb.connect(config={"threads": 1}) as engine:
        yield Duck(engine)


class Tried(NamedTuple):
    """What became of some functions."""

    taken: list[Made]
    refused: dict[Made, str]
    shown: set[Made]
    """Those of the refused that come to another answer when only touched groups are recomputed."""

    @property
    def not_shown(self) -> list[tuple[Made, str]]:
        """The refused ones that have groups, and no counterexample."""
        return [(one, why) for one, why in self.refused.items() if one not in self.shown and NO_GROUP not in why]


def declared(made: Made) -> Silver:
    """Return a function of the grammar as a table, whose keys need not hold its groups."""
    query = made.sql()

    def joined(s: DataFrame, c: DataFrame) -> DataFrame:
        return s.sparkSession.sql(query, s=s, c=c)

    return silver(keys=ENDS[made.end].keys, by=dict.fromkeys(SIDES, made.by))(joined)


def verdict_of(table: Silver, upstreams: Sequence[DataFrame]) -> Verdict:
    output = table(*upstreams)
    plan = analysed(output)
    assert plan is not None
    by = table.groups_of["s"]
    groups = tuple(Node("Group", {"number": n, "name": name, "dataType": "string"}, ()) for n, name in enumerate(by))
    named = dict(zip(by, groups, strict=True))
    read = tuple(Reading(readings(output, one)[0], side, named) for side, one in zip(SIDES, upstreams, strict=True))
    return judge_joined(table, trace(plan.top, read), groups)


def tried(spark: SparkSession, duck: Duck, made: Iterable[Made], first_seed: int = 0, many: int = MANY_SEEDS) -> Tried:
    """Judge functions, and follow two upstreams with each, batch by batch.

    What is taken is followed through some lives; what is refused through at most `many`, until its answer is not that
    of everything.
    """
    empty = [spark.createDataFrame([], SCHEMA) for _ in SIDES]
    result = Tried([], {}, set())
    for one in made:
        why = "; ".join(refusal.what for refusal in verdict_of(declared(one), empty).refusals)
        if not why:
            result.taken.append(one)
        else:
            result.refused[one] = why
        for seed in range(first_seed, first_seed + (many if why else SEEDS)):
            if NO_GROUP in why or one in result.shown:
                break
            batches = life(seed)
            came_to, expected = duck.by_batches(one, batches), duck.answer(one, batches[-1].rows)
            assert why or came_to == expected, (one, seed, came_to - expected, expected - came_to)
            if came_to != expected:
                result.shown.add(one)
    return result


def follow(spark: SparkSession, made: Made, batches: list[Batch]) -> Rows:
    """Return what a table holds that recomputes with Spark the groups which each batch touches, in one job."""
    table = declared(made)
    verdict = verdict_of(table, [spark.createDataFrame([], SCHEMA) for _ in SIDES])
    whole = _told(table(*_frames(spark, batches[0].rows)), 0)
    for number, batch in enumerate(batches[1:], 1):
        images, rows = _frames(spark, batch.images), _frames(spark, batch.rows)
        answer, touched, _ = recomputed_joined(table, verdict, images, rows, small=number % 2 == 0, few=lambda _: None)
        whole = whole.unionAll(_told(touched, -number)).unionAll(_told(answer, number))
    found: dict[int, list[str]] = {}
    for number, text in whole.collect():
        found.setdefault(number, []).append(text)
    holds = Counter(found.get(0, []))
    for number in range(1, len(batches)):
        holds = _without(holds, set(found[-number]), verdict.by)
        holds.update(found.get(number, []))
    return holds


def _frames(spark: SparkSession, sides: Sequence[list[Row] | None]) -> Any:
    return [None if rows is None else spark.createDataFrame(rows, SCHEMA).coalesce(1) for rows in sides]


def _told(rows: DataFrame, number: int) -> DataFrame:
    told = F.to_json(F.struct(*[F.col(name) for name in sorted(rows.columns)]), {"ignoreNullFields": "false"})
    return rows.select(F.lit(number), told)


def _of(row: Row, by: tuple[str, ...]) -> Row:
    return tuple(row[NAMES.index(name)] for name in by)


def _text(row: dict[str, Any]) -> str:
    return json.dumps({name: row[name] for name in sorted(row)}, separators=(",", ":"))


def _without(holds: Rows, gone: set[str], by: tuple[str, ...]) -> Rows:
    """Return rows that are in none of some groups."""
    groups = {row: _text({name: json.loads(row)[name] for name in by}) for row in holds}
    return Counter({row: times for row, times in holds.items() if groups[row] not in gone})


def test_each_piece_is_exact_or_refused_and_then_wrong(interpreted: SparkSession, duck: Duck) -> None:
    joins, ends = list(JOINS), list(ENDS)
    made = [Made(None, None, join, ends[n % 4]) for n, join in enumerate(joins)]
    for n, step in enumerate(STEPS):
        left, right = (step, None) if n % 2 else (None, step)
        made.append(Made(left, right, joins[n % 6], ends[n % 4]))
    made += [Made(None, "newest", "as of", end) for end in ends]
    made += [Made(None, None, join, "rows") for join in joins if JOINS[join].addressed]
    made += [Made(None, None, join, "by two", ("who", "kind")) for join in ("inner", "union", "anti", "as of")]
    result = tried(interpreted, duck, dict.fromkeys(made))
    assert len(result.taken) == 29
    assert len([why for why in result.refused.values() if NO_GROUP in why]) == 5
    assert len(result.shown) == 17
    assert result.not_shown == []


@pytest.mark.parametrize("seed", range(2))
def test_spark_comes_to_what_another_engine_gives_of_everything(
    seed: int, interpreted: SparkSession, duck: Duck
) -> None:
    batches = life(seed)
    for n, join in enumerate(("left", "full", "using", "anti", "union", "as of")):
        if n % 2 == seed:
            made = Made(None, None, join, list(ENDS)[n // 2])
            assert follow(interpreted, made, batches) == duck.answer(made, batches[-1].rows), made


def _mostly(pieces: Iterable[str], right: int) -> st.SearchStrategy[str]:
    """Draw from pieces, of which the first, that keep groups apart, come more often."""
    known = list(pieces)
    return st.sampled_from([*(known[:right] * 4), *known])


_MADE = st.builds(
    Made,
    st.none() | _mostly(STEPS, 6),
    st.none() | _mostly(STEPS, 6),
    _mostly(JOINS, 12),
    _mostly(ENDS, 5),
    st.sampled_from([("who",), ("who",), ("who",), ("who", "kind")]),
).filter(lambda made: made.keys_fit)


@settings(max_examples=1, phases=[Phase.generate])  # to shrink a list of functions takes minutes; each is named
@given(made=st.lists(_MADE, min_size=30, max_size=30, unique=True), seed=st.integers(0, 2**32))
def test_whatever_is_taken_is_exact(interpreted: SparkSession, duck: Duck, made: list[Made], seed: int) -> None:
    tried(interpreted, duck, made, seed, many=0)
