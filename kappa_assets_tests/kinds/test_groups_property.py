"""Whatever function is taken, its touched groups alone give what it gives of all rows; what is refused would not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import gold
from kappa_assets.kinds.touched import recomputed_groups, semi_join
from kappa_assets.logic.analysed import analysed, readings
from kappa_assets.logic.groups import judge
from kappa_assets.logic.traced_plan import trace
from kappa_assets_tests.kinds.groups_grammar import ENDS, MIDDLES, SCHEMA, life

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Gold
    from kappa_assets.logic.verdict import Verdict

NO_COUNTEREXAMPLE = {
    "has no key that names a group": "there is no group to recompute",
    "no column of its upstream": "there is no group to recompute",
    "too late": "there is no group to recompute before the function has run",
    "rows may share a place": "the order of these few rows is always the same",
    "with first": "the order of these few rows is always the same",
}
"""Why some refusals cannot be shown to be right by running what is refused: a part of what is said, and the reason."""


class Made(NamedTuple):
    """A function of the grammar."""

    middles: tuple[str, ...]
    end: str

    def declared(self) -> Gold:
        """Return it as a Gold."""
        end = ENDS[self.end]

        def made(sales: DataFrame) -> DataFrame:
            return end.step(reduce(lambda rows, name: MIDDLES[name](rows), self.middles, sales))

        return gold(keys=end.keys, by=end.by)(made)


class Tried(NamedTuple):
    """What became of some functions."""

    taken: list[Made]
    refused: dict[Made, str]
    shown: set[Made]
    """Those of the refused that give another answer when their groups are recomputed alone."""


def verdict_of(table: Gold, upstream: DataFrame) -> Verdict:
    output = table(upstream)
    plan = analysed(output)
    assert plan is not None
    return judge(table, trace(plan.top, readings(output, upstream)[0]))


def tried(spark: SparkSession, made: Iterable[Made], seeds: Iterable[int]) -> Tried:
    """Judge functions, and run each on its touched groups and on everything, in one job.

    What is taken is run on the rows of the first seed, what is refused on those of one seed after the other, until its
    answers differ.
    """
    upstream = spark.createDataFrame([], SCHEMA)
    tables = {one: one.declared() for one in made}
    verdicts = {one: verdict_of(table, upstream) for one, table in tables.items()}
    refused = {
        one: "; ".join(r.what for r in verdict.refusals) for one, verdict in verdicts.items() if verdict.refusals
    }
    todo = {one for one in tables if one not in refused or (verdicts[one].by and verdicts[one].plain)}
    shown: set[Made] = set()
    for seed in seeds:
        rows = life(seed)
        before, images, after = (_frame(spark, part) for part in (rows.before, rows.images, rows.after))
        differing: dict[int, Counter[str]] = {}
        for number, one in enumerate(tables):
            if one in todo:
                table, verdict = tables[one], verdicts[one]
                forced = replace(verdict, refusals=(), keys_are_unique=verdict.keys_are_unique or one in refused)
                answer, touched, _ = recomputed_groups(
                    table, forced, images, after, small=number % 2 == 0, few=lambda _: None
                )
                kept = semi_join(table(before), touched, forced.by, forced.by, "left_anti")
                both = _told(kept.unionByName(answer), 1).unionAll(_told(table(after), -1))
                rows_of = differing.setdefault(number, Counter())
                for side, row in both.collect():
                    rows_of[row] += side
        wrong = {number: rest for number, rows in differing.items() if (rest := {r: n for r, n in rows.items() if n})}
        for number, one in enumerate(tables):
            assert one in refused or number not in wrong, (one, seed, wrong[number])
            if number in wrong:
                shown.add(one)
        todo &= set(refused) - shown
    return Tried([one for one in tables if one not in refused], refused, shown)


def _frame(spark: SparkSession, rows: list[Any]) -> DataFrame:
    return spark.createDataFrame(rows, SCHEMA).coalesce(1)


def _told(rows: DataFrame, side: int) -> DataFrame:
    told = F.to_json(F.struct(*[F.col(name) for name in sorted(rows.columns)]), {"ignoreNullFields": "false"})
    return rows.select(F.lit(side), told)


def not_shown(result: Tried) -> Counter[str]:
    """Count the refused ones without a counterexample, by the reason why there is none."""
    found: Counter[str] = Counter()
    for one, why in result.refused.items():
        if one not in result.shown:
            reason = next((reason for said, reason in NO_COUNTEREXAMPLE.items() if said in why), None)
            found[reason or f"{one}: {why}"] += 1
    return found


def test_each_step_before_an_end_is_exact_or_refused_for_a_reason(interpreted: SparkSession) -> None:
    ends = [name for name in ENDS if name != "pandas"]
    made = [Made((middle,), ends[n % len(ends)]) for n, middle in enumerate(MIDDLES)]
    made += [Made((), end) for end in ("sessions", "share", "share by its rows", "top of all", "pandas")]
    made += [Made(("join itself by another",), "total")]
    result = tried(interpreted, made, seeds=range(4))
    assert len(result.taken) == 13
    assert not_shown(result) == Counter(
        {"there is no group to recompute": 2, "the order of these few rows is always the same": 1}
    )


_MADE = st.builds(
    Made, st.lists(st.sampled_from(sorted(MIDDLES)), min_size=2, max_size=3).map(tuple), st.sampled_from(sorted(ENDS))
)


@settings(max_examples=1, phases=[Phase.generate])  # to shrink a list of functions takes minutes; each is named
@given(made=st.lists(_MADE, min_size=8, max_size=8, unique=True), seed=st.integers(0, 2**32))
def test_whatever_is_taken_is_exact(interpreted: SparkSession, made: list[Made], seed: int) -> None:
    tried(interpreted, made, [seed])
