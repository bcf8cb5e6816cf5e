"""kill -9 of the driver, the JVM or both, at every named point: no row lost, none twice, everything adds up."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from kappa_assets.pipelines.retail import pipeline
from kappa_assets.registry import Registry
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets.streams.host import Host
from kappa_assets_tests.whole.conftest import TRUNCATED, Running, Stage, run_scene
from kappa_assets_tests.whole.crashing_host import land
from kappa_assets_tests.whole.reports import Reports, report_whole
from kappa_assets_tests.whole.scenes import Crash, Drain, Land, Replay, Step, Stream
from kappa_assets_tests.whole.verify import SILVER, verify

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

A, B, C, D, E = (f"day {n}" for n in range(5))  # a stage's good files, in order


def land_(*files: str) -> Land:
    return Land(files)


# Every point with every mode; a batch takes one file. Each ends in a crash; then one more file lands, and the lake is
# run to its end.
# fmt: off
SCENES: Mapping[str, Sequence[Step]] = {
    "before the offsets of the first Bronze batch": [
        land_(A, B), Crash("before_offsets", "bronze.invoices", "driver"), Drain(),
    ],
    "before the offsets of the first Silver batch": [
        land_(A, B, C), Crash("before_offsets", "silver.sales", "jvm"), Drain(),
    ],
    "before the offsets of a later Gold batch": [
        land_(A, B, C), Crash("before_offsets", "gold.customer_value", "both", nth=2), Drain(),
    ],
    "between the rejects and the commit of a later Silver batch": [
        land_(A, B, C), Crash("after_rejects", "silver.sales", "driver", nth=2), Drain(),
    ],
    "between a truncated file set aside and the commit of Bronze": [
        land_(A, B, TRUNCATED), Crash("after_rejects", "bronze.invoices", "jvm", nth=3), Drain(),
    ],
    "before the commit of a Gold recomputed by key": [
        land_(A, B), Crash("after_rejects", "gold.customer_value", "both"), Drain(),
    ],
    "after the first commit of a combined Gold": [
        land_(A, B, C), Crash("after_commit", "gold.daily_revenue", "driver"), Drain(),
    ],
    "after a later commit of Silver": [
        land_(A, B, C), Crash("after_commit", "silver.sales", "jvm", nth=2), Drain(),
    ],
    "after a later commit of Bronze": [
        land_(TRUNCATED, A, B), Crash("after_commit", "bronze.invoices", "both", nth=2), Drain(),
    ],
    "between Bronze and Silver": [
        land_(A), Crash("between_tables", "bronze.invoices", "driver"), Drain(),
    ],
    "between Silver and the first Gold": [
        land_(A, B, C), Crash("between_tables", "silver.sales", "jvm"), Drain(),
    ],
    "between two Golds": [
        land_(A, B), Crash("between_tables", "gold.customer_value", "both"), Drain(),
    ],
    "before the registry is first written": [
        land_(A), Crash("registry_change", "registry", "driver"), Drain(),
    ],
    "when the JVM dies while the registry changes": [
        land_(A), Crash("registry_change", "registry", "jvm"), Drain(),
    ],
    "between the first release and its links": [
        land_(A), Crash("registry_change", "links", "both"), Drain(),
    ],
    "while all tables stream": [
        land_(A), Stream(1), land_(B), Crash("after_commit", "silver.sales", "driver"), Stream(9),
    ],
    "while a replay builds its candidates": [
        land_(A, B), Drain(), Crash("after_commit", "silver.sales", "driver"), Replay(),
    ],
    "between a promotion and its links": [
        land_(A, B), Drain(), Crash("registry_change", "links", "both"), Replay(),
    ],
}
# fmt: on


@pytest.fixture(scope="module")
def crashes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, side_by_side: ThreadPoolExecutor
) -> Running:
    """All scenes of the tests that were asked for, walked side by side."""
    chosen = {str(item.callspec.params.get("name")) for item in request.session.items if hasattr(item, "callspec")}
    chosen.add("while a replay builds its candidates")
    found = {}
    for seed, (name, steps) in enumerate(SCENES.items()):
        if name not in chosen:
            continue
        stage = Stage.make(tmp_path_factory.mktemp("crash"), seed)
        found[name] = stage, side_by_side.submit(run_scene, stage.root, _named(stage, steps))
    return found


@pytest.mark.parametrize("name", SCENES)
def test_a_crash_loses_nothing_and_doubles_nothing(name: str, crashes: Running, spark: SparkSession) -> None:
    stage, running = crashes[name]
    _assert_died(SCENES[name], running.result().code, running.result().said)
    _finish(stage, spark)
    verify(stage.lake, stage.landed)
    report_whole(stage.lake, pipeline)
    release = Registry(stage.lake).state().release
    assert release is not None
    promoted = name == "between a promotion and its links"
    assert set(release.tables.values()) == {2 if promoted else 1}, "a promotion is one commit, wholly in or not at all"


def test_a_replay_that_died_goes_on_under_its_name(crashes: Running, spark: SparkSession) -> None:
    name = "while a replay builds its candidates"
    stage, running = crashes[name]
    _assert_died(SCENES[name], running.result().code, running.result().said)
    assert stage.lake.folder(SILVER, 2).exists(), "it died after a commit of its candidate"
    plan = plan_replay(stage.lake, pipeline, [SILVER])
    result = run_replay(stage.setting(spark), pipeline, plan, progress=lambda _: None)
    assert (result.id, result.state) == (plan.resumes, "promoted")
    state = Registry(stage.lake).state()
    assert [r.state for r in state.replays.values()] == ["promoted"]
    assert state.release is not None
    assert set(state.release.tables.values()) == {2}
    verify(stage.lake, stage.landed)


KILLS = (
    Crash("after_rejects", "silver.sales", "driver"),
    Crash("after_commit", "bronze.invoices", "both"),
    Crash("after_commit", "gold.daily_revenue", "jvm"),
    Crash("before_offsets", "gold.customer_value", "driver"),
)


def test_a_sensor_that_ticks_before_between_during_and_after_kills_tells_of_every_commit_once(
    tmp_path: Path, side_by_side: ThreadPoolExecutor, spark: SparkSession
) -> None:
    stage = Stage.make(tmp_path / "stage", seed=91)
    with dg.DagsterInstance.ephemeral() as instance:
        reports = Reports(instance, stage.lake, pipeline)
        reports.tick()
        for kill in KILLS:
            scene: list[Step] = [land_(stage.staged[0]), kill, Drain()]
            host = side_by_side.submit(run_scene, stage.root, scene)
            while not wait([host], timeout=0.2).done:
                reports.tick()
                reports.tick_that_dies()
            _assert_died(scene, host.result().code, host.result().said)
            reports.tick_that_dies()
            reports.tick()
        _finish(stage, spark)
        reports.tick()
        verify(stage.lake, stage.landed)
        reports.verify()


def _finish(stage: Stage, spark: SparkSession) -> None:
    """Land one more file, and run the lake to its end without faults."""
    land(stage.root, stage.staged[:1])
    assert Host(stage.setting(spark), pipeline).drain().reason == "caught up"


def _named(stage: Stage, steps: Sequence[Step]) -> list[Step]:
    """Put the names of the stage's files in the places of A to E."""
    names = dict(zip((A, B, C, D, E), stage.staged, strict=True))
    return [Land(tuple(names.get(f, f) for f in s.files)) if isinstance(s, Land) else s for s in steps]


def _assert_died(steps: Sequence[Step], code: int, said: str) -> None:
    crash = next(step for step in steps if isinstance(step, Crash))
    assert f"killed {crash}" in said, said[-3000:]
    if crash.mode == "jvm":
        # The driver ends by itself, with an error, instead of waiting for a JVM that is gone.
        assert code == 1, said[-3000:]
    else:
        assert code == -signal.SIGKILL, said[-3000:]
