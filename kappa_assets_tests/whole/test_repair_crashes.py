"""kill -9 while slices are repaired: whole slices, old or new; a second launch finishes; Gold follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from kappa_assets.host.host import Host
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.log_files import latest_version
from kappa_assets_tests.oracle import SALES, oracle, rows_of
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.chain import Links, walk_chain
from kappa_assets_tests.whole.conftest import Stage
from kappa_assets_tests.whole.crashing_host import repair_all
from kappa_assets_tests.whole.scenes import Crash, Repair
from kappa_assets_tests.whole.verify import SILVER, read, verify

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
# Each deletes rows of three slices by hand and repairs them; `nth` is the slice it dies at.
CRASHES: Mapping[str, Crash] = {
    "before a slice's commit": Crash("slice_written", "silver.sales", "driver", nth=2),
    "after a slice's commit": Crash("slice_repaired", "silver.sales", "both", nth=2),
    "when the driver's JVM dies": Crash("slice_repaired", "silver.sales", "jvm", nth=1),
}


@pytest.fixture(scope="module")
def dead(drained_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Links:
    """A lake whose repairs died one after the other."""
    folder = tmp_path_factory.mktemp("repair")
    stage = Stage.of_drained(drained_shop, folder / "stage")
    return walk_chain(stage, {name: [crash, Repair()] for name, crash in CRASHES.items()}, folder)


@pytest.mark.parametrize("name", CRASHES)
def test_an_interrupted_repair_leaves_whole_slices(name: str, dead: Links, drained_shop: Path) -> None:
    stage = dead.died[name][1]
    earlier = [Stage(drained_shop), *(died for _, died in dead.died.values())][list(CRASHES).index(name)]
    since = latest_version(earlier.lake.folder(SILVER)) or 0
    fresh = commits(stage.lake.folder(SILVER), after=since)
    repaired = [c.note.repair.slice for c in fresh if c.note and c.note.repair]
    assert len(repaired) == (2 if name == "after a slice's commit" else 1)
    expected = oracle(stage.landed).sales
    table = read(stage.lake.link(SILVER))
    for day in sorted(set(table["_arrival_date"].to_pylist())):
        of_slice = table.filter([str(d) == str(day) for d in table["_arrival_date"].to_pylist()])
        whole = not Counter(rows_of(of_slice.select(list(SALES)), SALES)) - expected
        assert whole, f"slice {day} holds rows that nobody sent"
        deleted = not [n for n in of_slice["quantity"].to_pylist() if n > 3]
        assert deleted == (str(day) not in repaired), f"slice {day} is neither old nor new"


def test_after_interrupted_repairs_another_one_finishes_and_gold_follows(dead: Links, spark: SparkSession) -> None:
    repair_all(dead.stage.setting(spark))
    Host(dead.stage.setting(spark), pipeline).drain()
    verify(dead.stage.lake, dead.stage.landed)
