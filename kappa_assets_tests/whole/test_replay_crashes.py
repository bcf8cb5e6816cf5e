"""kill -9 while a replay builds, compares and promotes: old or new, gone on with under its name, or wholly removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Layer, TableName
from kappa_assets.host.host import Host
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry, Replay
from kappa_assets.replay import discard_replay, plan_replay
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.chain import Links, walk_chain
from kappa_assets_tests.whole.conftest import Stage
from kappa_assets_tests.whole.crashing_host import land
from kappa_assets_tests.whole.scenes import Crash, Land, Step
from kappa_assets_tests.whole.scenes import Replay as ReplayStep
from kappa_assets_tests.whole.verify import SILVER, verify

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

TABLES = (SILVER, *(TableName(Layer.GOLD, name) for name in ("customer_value", "daily_revenue", "top_products")))
# One replay of a lake that was drained of three files, a file in a batch: each launch goes on with it, and dies later.
CRASHES: Mapping[str, Crash] = {
    "in the first batch of Silver's candidate": Crash("before_offsets", "silver.sales", "driver"),
    "after a commit of Silver's candidate": Crash("after_commit", "silver.sales", "driver"),
    "between the rejects and the rows of a later batch": Crash("after_rejects", "silver.sales", "both"),
    "between Silver's candidate and those below": Crash("building", "silver.sales", "driver"),
    "when a Gold's candidate loses its JVM": Crash("after_commit", "gold.customer_value", "jvm"),
    "before the comparison is stored": Crash("comparing", "registry", "driver"),
    "before the promotion": Crash("registry_change", "registry", "both"),
}
PROMOTED = "between the promotion and its links"


@pytest.fixture(scope="module")
def dead(drained_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Links:
    """The replay that died again and again, the last time when it was promoted."""
    folder = tmp_path_factory.mktemp("replay")
    stage = Stage.of_drained(drained_shop, folder / "stage")
    links: dict[str, Sequence[Step]] = {name: [crash, ReplayStep()] for name, crash in CRASHES.items()}
    links[PROMOTED] = [Land((stage.staged[0],)), Crash("registry_change", "links", "driver"), ReplayStep()]
    return walk_chain(stage, links, folder)


@pytest.mark.parametrize("name", CRASHES)
def test_a_replay_that_died_is_old_and_goes_on_or_goes_away(name: str, dead: Links, spark: SparkSession) -> None:
    _, stage = dead.died[name]
    found = only_replay(stage)
    assert (found.state, generations(stage)) == ("building", {1})
    verify(stage.lake, stage.landed)
    plan = plan_replay(stage.lake, pipeline, [SILVER])
    assert (plan.resumes, {s.generation for s in plan.steps}) == (found.id, {2})

    discard_replay(stage.lake, found.id)
    nothing_is_left(stage.lake)
    assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"
    verify(stage.lake, stage.landed)


def test_a_replay_that_goes_on_keeps_what_it_had_built_and_is_promoted_whole(dead: Links, spark: SparkSession) -> None:
    before, after = (dead.died[name][1] for name in ("between Silver's candidate and those below", PROMOTED))
    built, now = ([c.version for c in commits(stage.lake.folder(SILVER, 2))] for stage in (before, after))
    assert now[: len(built)] == built, "Silver was built, and is not again"
    found = only_replay(after)
    assert (found.state, generations(after)) == ("promoted", {2})
    assert found.id == only_replay(before).id
    assert found.comparison is not None
    assert {row["table"] for row in found.comparison["tables"]} == set(map(str, TABLES))
    for row in found.comparison["tables"]:
        assert (row["only_live"], row["only_candidate"], row["changed"]) == (0, 0, 0), row
    assert after.lake.link(SILVER).resolve() == after.lake.folder(SILVER, 1), "links follow at the next start"

    land(after.root, after.staged[:1])
    assert Host(after.setting(spark), pipeline).drain().reason == "caught up"
    verify(after.lake, after.landed)
    assert generations(after) == {2}
    assert only_replay(after).state == "promoted"


def only_replay(stage: Stage) -> Replay:
    (found,) = Registry(stage.lake).state().replays.values()
    return found


def generations(stage: Stage) -> set[int]:
    release = Registry(stage.lake).state().release
    assert release is not None
    return set(release.tables.values())


def nothing_is_left(lake: Lake) -> None:
    """Assert that no file of a second generation is there, nor a row that it set aside.

    Its lock is: were it removed, two processes could each hold one of the same name.
    """
    for table in TABLES:
        for folder in (lake.folder(table, 2), lake.checkpoint(table, 2)):
            assert {p.name for p in folder.parent.glob(f"*{folder.name}*")} <= {f".{folder.name}.lock"}
    if (lake.rejects(SILVER) / "_delta_log").is_dir():
        rejects = DeltaTable(lake.rejects(SILVER)).to_pyarrow_table(columns=["generation"])
        assert set(rejects.column("generation").to_pylist()) <= {1}
