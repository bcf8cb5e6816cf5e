"""A table whose upstream is not written yet waits for it: that is no fault of its logic, and ends no replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from kappa_assets.errors import TableMissing
from kappa_assets.host.assemble import query_of, tapes_of
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Setting
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation, Registry
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets.replay import stages as replay_run
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake
from kappa_assets_tests.written_logs import PAGES, PIPELINE, VISITS


def runner_on(lake: Lake, table: TableName) -> Runner:
    setting = Setting(cast("Any", None), lake, lake.root)  # nothing gets as far as Spark
    generation = Generation(table, 1, "logic", 1, 0, None, None, "2026-01-05T00:00:00+00:00")
    return Runner(query_of(setting, PIPELINE, generation, tapes_of(setting, PIPELINE)))


@pytest.mark.parametrize("table", [VISITS, PAGES], ids=str)
def test_a_table_without_its_upstream_waits_and_says_for_what(tmp_path: Path, table: TableName) -> None:
    runner = runner_on(Lake.at(tmp_path), table)
    runner.tend()
    runner.drain(lambda: None)
    assert (runner.status.state, runner.status.error) == ("waiting", None)
    (above,) = PIPELINE.upstreams[table]
    with pytest.raises(
        TableMissing, match=f"{table} has nothing to read yet: {above} is not written\nHint: Nothing is"
    ):
        runner.query.prepare()


def test_a_replay_whose_upstream_is_not_there_for_a_moment_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = HandLake(tmp_path / "lake")
    hand.land(MONDAY)
    hand.read()

    def build(*_: object) -> None:
        runner_on(Lake.at(tmp_path / "elsewhere"), VISITS).query.prepare()

    monkeypatch.setattr(replay_run, "build", build)
    plan = plan_replay(hand.lake, PIPELINE, [VISITS])
    setting = Setting(cast("Any", None), hand.lake, tmp_path)
    with pytest.raises(TableMissing):
        run_replay(setting, PIPELINE, plan, progress=lambda _: None)
    dead = Registry(hand.lake).state().open_replay()
    assert dead is not None
    assert plan_replay(hand.lake, PIPELINE, [VISITS]).resumes == dead.id
