"""kill -9 while slices are repaired: whole slices, old or new; a second launch finishes; Gold follows."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from kappa_assets.delta_log import commits
from kappa_assets.pipelines.retail import pipeline
from kappa_assets.streams.host import Host
from kappa_assets_tests.oracle import SALES, oracle, rows_of
from kappa_assets_tests.whole.conftest import Running, walk_crashes
from kappa_assets_tests.whole.crashing_host import repair_all
from kappa_assets_tests.whole.scenes import Crash, Repair
from kappa_assets_tests.whole.verify import SILVER, read, verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
# Each repairs three slices of which rows were deleted by hand; `nth` is the slice it dies at.
CRASHES: Mapping[str, Crash] = {
    "before a slice's commit": Crash("slice_written", "silver.sales", "driver", nth=2),
    "after a slice's commit": Crash("slice_repaired", "silver.sales", "both", nth=2),
    "when the driver's JVM dies": Crash("slice_repaired", "silver.sales", "jvm", nth=1),
}


@pytest.fixture(scope="module")
def dead(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, side_by_side: ThreadPoolExecutor
) -> Running:
    """The crashes of the tests that were asked for, walked side by side."""
    return walk_crashes(request, tmp_path_factory, side_by_side, CRASHES, Repair(), seed=300)


@pytest.mark.parametrize("name", CRASHES)
def test_an_interrupted_repair_leaves_whole_slices_and_a_second_one_finishes(
    name: str, dead: Running, spark: SparkSession
) -> None:
    stage, running = dead[name]
    ended, crash = running.result(), CRASHES[name]
    assert f"killed {crash}" in ended.said, ended.said[-3000:]
    assert ended.code == (1 if crash.mode == "jvm" else -signal.SIGKILL), ended.said[-3000:]
    repaired = [c.note.repair.slice for c in commits(stage.lake.folder(SILVER)) if c.note and c.note.repair]
    assert len(repaired) == (2 if name == "after a slice's commit" else 1)
    expected = oracle(stage.landed).sales
    table = read(stage.lake.link(SILVER))
    for day in sorted(set(table["_arrival_date"].to_pylist())):
        of_slice = table.filter([str(d) == str(day) for d in table["_arrival_date"].to_pylist()])
        whole = not Counter(rows_of(of_slice.select(list(SALES)), SALES)) - expected
        assert whole, f"slice {day} holds rows that nobody sent"
        deleted = not [n for n in of_slice["quantity"].to_pylist() if n > 3]
        assert deleted == (str(day) not in repaired), f"slice {day} is neither old nor new"

    repair_all(stage.setting(spark))
    Host(stage.setting(spark), pipeline).drain()
    verify(stage.lake, stage.landed)
