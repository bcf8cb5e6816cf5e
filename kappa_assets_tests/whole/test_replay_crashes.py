"""kill -9 while a replay builds, compares and promotes: old or new, gone on with under its name, or wholly removed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Layer, TableName
from kappa_assets.lake import Lake
from kappa_assets.pipelines.retail import pipeline
from kappa_assets.registry import Registry, Replay
from kappa_assets.replay import discard_replay, plan_replay, run_replay
from kappa_assets.streams.host import Host
from kappa_assets_tests.whole.conftest import Running, Stage, walk_crashes
from kappa_assets_tests.whole.crashing_host import land
from kappa_assets_tests.whole.scenes import Crash
from kappa_assets_tests.whole.scenes import Replay as ReplayStep
from kappa_assets_tests.whole.verify import SILVER, verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

TABLES = (SILVER, *(TableName(Layer.GOLD, name) for name in ("customer_value", "daily_revenue", "top_products")))
PROMOTED = "between the promotion and its links"
# Each replays a lake that was drained of three files, a file in a batch.
CRASHES: Mapping[str, Crash] = {
    "in the first batch of Silver's candidate": Crash("before_offsets", "silver.sales", "driver"),
    "between the rejects and the rows of a later batch": Crash("after_rejects", "silver.sales", "both", nth=2),
    "when a Gold's candidate loses its JVM": Crash("after_commit", "gold.customer_value", "jvm"),
    "between Silver's candidate and those below": Crash("building", "silver.sales", "driver"),
    "before the comparison is stored": Crash("comparing", "registry", "driver"),
    "before the promotion": Crash("registry_change", "registry", "both"),
    PROMOTED: Crash("registry_change", "links", "driver"),
}


@pytest.fixture(scope="module")
def dead(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, side_by_side: ThreadPoolExecutor
) -> Running:
    """The crashes of the tests that were asked for, walked side by side."""
    return walk_crashes(request, tmp_path_factory, side_by_side, CRASHES, ReplayStep(), seed=200)


@pytest.mark.parametrize("name", CRASHES)
def test_a_replay_that_died_is_old_or_new_and_goes_on_or_goes_away(
    name: str, dead: Running, spark: SparkSession, tmp_path: Path
) -> None:
    stage, running = dead[name]
    ended, crash = running.result(), CRASHES[name]
    assert f"killed {crash}" in ended.said, ended.said[-3000:]
    assert ended.code == (1 if crash.mode == "jvm" else -signal.SIGKILL), ended.said[-3000:]
    found = only_replay(stage)
    if name == PROMOTED:
        assert (found.state, generations(stage)) == ("promoted", {2})
        assert stage.lake.link(SILVER).resolve() == stage.lake.folder(SILVER, 1), "links follow at the next start"
        finish(stage, spark)
        return
    assert (found.state, generations(stage)) == ("building", {1})
    verify(stage.lake, stage.landed)

    shutil.copytree(stage.lake.root, tmp_path / "lake", symlinks=True)
    given_up = Lake.at(tmp_path / "lake")
    discard_replay(given_up, found.id)
    nothing_is_left(given_up)
    assert Host(replace(stage.setting(spark), lake=given_up), pipeline).drain().reason == "caught up"
    verify(given_up, stage.landed)

    plan = plan_replay(stage.lake, pipeline, [SILVER])
    assert (plan.resumes, {s.generation for s in plan.steps}) == (found.id, {2})
    land(stage.root, stage.staged[:1])
    result = run_replay(stage.setting(spark), pipeline, plan, progress=lambda _: None)
    assert (result.id, result.state) == (found.id, "promoted")
    for table in result.comparison.tables:
        assert (table.only_live, table.only_candidate, table.changed) == (0, 0, 0), table
    finish(stage, spark)
    assert generations(stage) == {2}
    assert only_replay(stage).state == "promoted"


def only_replay(stage: Stage) -> Replay:
    (found,) = Registry(stage.lake).state().replays.values()
    return found


def generations(stage: Stage) -> set[int]:
    release = Registry(stage.lake).state().release
    assert release is not None
    return set(release.tables.values())


def nothing_is_left(lake: Lake) -> None:
    """Assert that no file of a second generation is there, nor a row that it set aside."""
    for table in TABLES:
        for folder in (lake.folder(table, 2), lake.checkpoint(table, 2)):
            assert list(folder.parent.glob(f"*{folder.name}*")) == []
    if (lake.rejects(SILVER) / "_delta_log").is_dir():
        rejects = DeltaTable(lake.rejects(SILVER)).to_pyarrow_table(columns=["generation"])
        assert set(rejects.column("generation").to_pylist()) <= {1}


def finish(stage: Stage, spark: SparkSession) -> None:
    """Land one more file, run the lake to its end, and assert that everything adds up."""
    land(stage.root, stage.staged[:1])
    assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"
    verify(stage.lake, stage.landed)
