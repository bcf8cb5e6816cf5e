"""Full snapshots: what the newest whole one lacks is gone, in any order and split; a truncated one deletes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, cdc, silver
from kappa_assets.declare.options.cdc import Cdc
from kappa_assets.errors import LogicError, TooManyDeleted
from kappa_assets.host.host import Host
from kappa_assets.kinds.cdc.check import check_cdc
from kappa_assets.kinds.cdc.merging import marked, merged, shown
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.conftest import WALKED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Silver

NOW = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
SCHEMA = "k string, s int, v int, n int, _batch_id bigint, _row bigint, _arrived_at timestamp, _arrival_date date"
COUNTED = cdc(keys=["k"], sequence_by="s", snapshots=True, snapshot_rows="n")
ENDED = cdc(keys=["k"], sequence_by="s", snapshots=True, complete_when="k IS NULL")


@dataclass(frozen=True)
class Row:
    """A row of snapshot `s`, which has `n` keys; one without a key says that it is whole."""

    s: int
    k: str | None
    v: int = 0
    n: int | None = None


def held(rows: Sequence[Row], declared: Cdc) -> dict[str, int]:
    """Return what plain Python says that there is, once these rows have come."""
    whole = -1
    for s in {row.s for row in rows}:
        of_it = [row for row in rows if row.s == s]
        told = max((row.n for row in of_it if row.n is not None), default=None)
        keys = {row.k for row in of_it if row.k is not None}
        ended = any(row.k is None for row in of_it)
        if ended if declared is ENDED else told is not None and len(keys) >= told:
            whole = max(whole, s)
    newest: dict[str, tuple[int, int]] = {}
    for row in rows:
        if row.k is not None and row.s >= whole:
            newest[row.k] = max(newest.get(row.k, (row.s, row.v)), (row.s, row.v))
    return {key: v for key, (_, v) in newest.items()}


SNAPSHOT = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), max_size=4)


@st.composite
def told(draw: st.DrawFn) -> list[list[Row]]:
    """Draw snapshots, of which some lack rows, as three batches in any order, with some rows told again."""
    rows: list[Row] = []
    for s, keys in enumerate(draw(st.lists(SNAPSHOT, min_size=1, max_size=4))):
        all_rows = [*(Row(s, k, v, len(keys)) for k, v in keys.items()), Row(s, None, n=len(keys))]
        rows += draw(st.permutations(all_rows))[: len(all_rows) - draw(st.integers(0, 2))]
    again = draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
    mixed = draw(st.permutations([*rows, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(mixed)), min_size=2, max_size=2)))
    return [mixed[: cuts[0]], mixed[cuts[0] : cuts[1]], mixed[cuts[1] :]]


FIRST = [*(Row(0, k, n=4) for k in "abcd"), Row(0, None, n=4)]
SECOND = [Row(1, "a", 1, 2), Row(1, "b", 1, 2), Row(1, None, n=2)]
TRUNCATED = [Row(2, "a", 2, 3), Row(2, "e", 2, 3)]
EMPTY = [Row(3, None, n=0)]


@settings(max_examples=4, phases=WALKED)
@given(told())
@example([FIRST, SECOND[:1], [*SECOND[1:], *TRUNCATED]])
@example([[*TRUNCATED, *SECOND[::-1]], FIRST, TRUNCATED])
@example([FIRST, EMPTY, TRUNCATED])
def test_there_is_what_the_newest_whole_snapshot_has_and_what_newer_rows_tell(
    spark: SparkSession, parts: list[list[Row]]
) -> None:
    for declared in (COUNTED, ENDED):
        numbered = [
            [(row.k, row.s, row.v, row.n, b, r, NOW, NOW.date()) for r, row in enumerate(part)]
            for b, part in enumerate(parts)
        ]
        fresh = [marked(declared, spark.createDataFrame(part, SCHEMA)) for part in numbered]
        kept = reduce(
            lambda state, more: merged(declared, state.unionByName(more)), fresh[1:], merged(declared, fresh[0])
        )
        so_far = [row for part in parts for row in part]
        assert {row["k"]: row["v"] for row in shown(declared, kept).collect()} == held(so_far, declared)


exports = bronze("exports", source=Files("exports", header=True))


def customers_of(**options: Any) -> Silver:
    def customers(exports: DataFrame) -> DataFrame:
        """The customers of the newest export."""
        numbers = [F.col(name).try_cast("int").alias(name) for name in ("s", "v", "n")]
        return exports.select("k", *numbers, *LINEAGE)

    return silver(cdc=cdc(keys=["k"], sequence_by="s", snapshots=True, **options))(customers)


def shop(most: str) -> Pipeline:
    return Pipeline.from_tables("shop", [exports, customers_of(snapshot_rows="n", max_deleted=most)])


CUSTOMERS = shop("50 %").derived[0].name


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return DeltaTable(folder).to_pyarrow_table().to_pylist() if folder.exists() else []


def test_a_snapshot_that_lacks_too_many_keys_parks_the_table_and_nothing_of_it_is_written(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake, landing = Lake.at(tmp_path / "lake"), tmp_path / "landing" / "exports"
    landing.mkdir(parents=True)
    setting = Setting(spark, lake, tmp_path / "landing", Pace(landed_files=1, table_files=1))

    def land(*lines: str) -> None:
        (landing / f"{len(list(landing.iterdir())):03}.csv").write_text("\n".join(["k,s,v,n", *lines]) + "\n")

    def there(generation: int = 1) -> dict[str, int]:
        return {row["k"]: row["v"] for row in rows_of(lake.folder(CUSTOMERS, generation))}

    land(*(f"{k},1,1,4" for k in "abcd"))
    land("a,2,2,3", "b,2,2,3")
    Host(setting, shop("50 %")).drain()
    assert there() == {"a": 2, "b": 2, "c": 1, "d": 1}, "snapshot 2 is not whole yet"
    land("c,2,2,3")
    land("a,3,3,3")
    Host(setting, shop("50 %")).drain()
    assert there() == {"a": 3, "b": 2, "c": 2}, "d is gone, and the truncated snapshot 3 deletes nothing"
    assert {row["s"] for row in rows_of(lake.state(CUSTOMERS))} == {2, 3}

    land(",4,4,1", "a,4,4,1")
    before = there(), lake.state_of(CUSTOMERS).newest(), lake.set_aside(CUSTOMERS).newest()
    with pytest.raises(
        TooManyDeleted, match=r"would lose 2 of 3 keys by its batch 4, which is more than max_deleted=50 %"
    ):
        Host(setting, shop("50 %")).drain()
    assert (there(), lake.state_of(CUSTOMERS).newest(), lake.set_aside(CUSTOMERS).newest()) == before
    Host(setting, shop("67 %")).drain()
    assert there() == {"a": 4}
    assert [row["reasons"] for row in rows_of(lake.rejects(CUSTOMERS))] == [["has_k"]]

    at_once = Setting(spark, lake, setting.landing)
    run_replay(at_once, shop("10 %"), plan_replay(lake, shop("10 %"), [CUSTOMERS]), progress=lambda _: None)
    assert there(2) == {"a": 4}
    assert {row["s"] for row in rows_of(lake.state(CUSTOMERS, 2))} == {4}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"snapshot_rows": "m"}, "has 'm' in snapshot_rows of cdc(), and gives no such column"),
        ({"snapshot_rows": "k"}, "counts the keys of a snapshot by 'k', which is a string"),
        ({"complete_when": "gone"}, "cannot tell complete_when of cdc(), 'gone'"),
    ],
)
def test_what_does_not_tell_when_a_snapshot_is_whole_is_refused(
    spark: SparkSession, options: dict[str, Any], text: str
) -> None:
    tape = spark.createDataFrame([], SCHEMA)
    with pytest.raises(LogicError) as refused:
        check_cdc(customers_of(**options), tape)
    assert text in str(refused.value)
