"""kill -9 of the driver, the JVM or both, at every named point: no row lost, none twice, everything adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from kappa_assets.host.host import Host
from kappa_assets.place.registry import Registry
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.chain import walk_watched
from kappa_assets_tests.whole.conftest import TRUNCATED, Stage
from kappa_assets_tests.whole.reports import Reports, report_whole
from kappa_assets_tests.whole.scenes import Crash, Drain, Land, Step, Stream
from kappa_assets_tests.whole.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


def links(a: str, b: str, c: str, d: str, e: str) -> Mapping[str, Sequence[Step]]:
    """Every point, in the order in which a new lake comes by them; a batch takes one file.

    A driver that loses its JVM still commits the batch it is at, so such a kill leaves nothing of it to the next link.
    """
    return {
        "before the registry is first written": [
            Land((a,)), Crash("registry_change", "registry", "driver"), Drain(),
        ],
        "between the first release and its links": [
            Crash("registry_change", "links", "both"), Drain(),
        ],
        "between a plan and its offsets": [
            Land((b,)), Crash("planned", "bronze.invoices", "driver"), Drain(),
        ],
        "before the offsets of the first Bronze batch": [
            Crash("before_offsets", "bronze.invoices", "driver"), Drain(),
        ],
        "between Bronze and Silver": [
            Crash("between_tables", "bronze.invoices", "driver"), Drain(),
        ],
        "before the offsets of the first Silver batch": [
            Crash("before_offsets", "silver.sales", "jvm"), Drain(),
        ],
        "between the rejects and the commit of a later Silver batch": [
            Land((c,)), Crash("after_rejects", "silver.sales", "driver", nth=2), Drain(),
        ],
        "after a later commit of Silver": [
            Crash("after_commit", "silver.sales", "jvm"), Drain(),
        ],
        "between Silver and the first Gold": [
            Crash("between_tables", "silver.sales", "jvm"), Drain(),
        ],
        "before the commit of a Gold recomputed by key": [
            Crash("after_rejects", "gold.customer_value", "both"), Drain(),
        ],
        "before the offsets of a later Gold batch": [
            Crash("before_offsets", "gold.customer_value", "both", nth=2), Drain(),
        ],
        "between two Golds": [
            Crash("between_tables", "gold.customer_value", "both"), Drain(),
        ],
        "after the first commit of a combined Gold": [
            Crash("after_commit", "gold.daily_revenue", "driver"), Drain(),
        ],
        "between a truncated file set aside and the commit of Bronze": [
            Land((d, TRUNCATED)), Crash("after_rejects", "bronze.invoices", "driver", nth=2), Drain(),
        ],
        "after a later commit of Bronze": [
            Crash("after_commit", "bronze.invoices", "both"), Drain(),
        ],
        "after a later commit of a combined Gold": [
            Crash("after_commit", "gold.daily_revenue", "jvm", nth=2), Drain(),
        ],
        "while all tables stream": [
            Stream(4), Land((e,)), Crash("after_commit", "silver.sales", "driver"), Stream(99),
        ],
    }  # fmt: skip


def test_kills_at_every_point_lose_nothing_and_double_nothing_and_a_sensor_beside_them_tells_of_every_commit_once(
    tmp_path: Path, spark: SparkSession
) -> None:
    stage = Stage.make(tmp_path / "stage", seed=91)
    with dg.DagsterInstance.ephemeral() as instance:
        reports = Reports(instance, stage.lake, pipeline)
        reports.tick()

        def look() -> None:
            reports.tick()
            reports.tick_that_dies()

        walk_watched(stage, links(*stage.staged), look)
        reports.tick_that_dies()
        reports.tick()
        assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"
        reports.tick()
        verify(stage.lake, stage.landed)
        reports.verify()
    report_whole(stage.lake, pipeline)
    release = Registry(stage.lake).state().release
    assert release is not None
    assert set(release.tables.values()) == {1}
