"""kill -9 over the whole retail example and unique rows: at the points that plain rows and three Golds do not have."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from kappa_assets.demo.feed import next_delivery
from kappa_assets.host.host import Host
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.pipelines.test_customers import expected, held
from kappa_assets_tests.whole.chain import assert_died
from kappa_assets_tests.whole.conftest import Stage, run_scene
from kappa_assets_tests.whole.extended_retail import EXTENDED, TOLD, distinct_lines
from kappa_assets_tests.whole.scenes import Crash, Drain, Extended, Land, Step
from kappa_assets_tests.whole.verify import read, verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
_DAYS = 4


def links(days: Sequence[tuple[str, ...]]) -> Mapping[str, Sequence[Step]]:
    """Kills in the order in which a drain comes by them, each on what the one before left."""
    a, b, c, d = map(Land, days)
    return {
        "between the first commit of a state and that of its table": [
            a, Crash("after_commit", "state of silver.customers", "both"), Drain(),
        ],
        "after the first commit of unique rows": [
            Crash("after_commit", "silver.distinct_lines", "driver"), Drain(),
        ],
        "before the first vector of a join is committed": [
            Crash("before_offsets", "silver.priced_sales", "jvm"), Drain(),
        ],
        "between rows in quarantine and the commit of unique rows": [
            b, Crash("after_rejects", "silver.distinct_lines", "driver"), Drain(),
        ],
        "after a later commit of a table of changes": [
            Crash("after_commit", "silver.customers", "both"), Drain(),
        ],
        "between a later commit of a state and that of its table": [
            c, Crash("after_commit", "state of silver.customers", "driver"), Drain(),
        ],
        "after a later commit of a join": [
            Crash("after_commit", "silver.priced_sales", "both"), Drain(),
        ],
        "after a later commit of a Gold over a join": [
            d, Crash("after_commit", "gold.segment_revenue", "driver"), Drain(),
        ],
    }  # fmt: skip


def test_kills_at_every_point_of_changes_joins_and_unique_rows_lose_nothing_and_double_nothing(
    tmp_path: Path, spark: SparkSession
) -> None:
    stage, days = staged(tmp_path / "stage")
    for name, steps in links(days).items():
        scene = [Extended(), *steps]
        assert_died(name, scene, run_scene(stage.root, scene))
    assert Host(stage.setting(spark), EXTENDED).drain().reason == "caught up"
    verify(stage.lake, stage.landed)
    landing = stage.root / "landing"
    assert held(stage.lake, "gold.segment_revenue") == expected(landing)
    verify_distinct_lines(stage.lake, landing)


def staged(root: Path) -> tuple[Stage, list[tuple[str, ...]]]:
    """Return a stage where the first days of the feed wait to land, and the files of each."""
    feed, days = root / "feed", list[tuple[str, ...]]()
    for _ in range(_DAYS):
        file = next_delivery(feed, now=dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC))
        assert file is not None
        days.append((f"invoices/{file.name}", f"customer_changes/{file.name.partition('.')[0]}.json"))
    shutil.move(feed, root / "staged")
    for folder in ("invoices", "customer_changes"):
        (root / "landing" / folder).mkdir(parents=True)
    return Stage(root), days


def verify_distinct_lines(lake: Lake, landing: Path) -> None:
    """Each line of a known customer is there once, by the address of the first, and each that has none waits."""
    lines = f"""
        SELECT concat_ws('|', {", ".join(f"coalesce({name}, '')" for name in TOLD)}) AS line,
               nullif(trim(CustomerID), '') IS NOT NULL AS known
        FROM read_csv('{landing}/invoices/*.csv.gz', all_varchar = true, header = true)"""
    there, sent, waiting = duckdb.execute(
        "SELECT count(DISTINCT line) FILTER (known), count(*) FILTER (known), count(*) FILTER (NOT known) "
        f"FROM ({lines})"
    ).fetchall()[0]
    rows = read(lake.link(distinct_lines.name), "line", "_batch_id", "_row").to_pylist()
    assert len(rows) == len({row["line"] for row in rows}) == there < sent
    aside = read(lake.rejects(distinct_lines.name), "on_fail").column("on_fail").to_pylist()
    assert Counter(aside) == {"quarantine": waiting, "drop": sent - there}
