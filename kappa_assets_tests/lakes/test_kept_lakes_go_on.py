"""A lake of an earlier version goes on under the code of today: drained, repaired, promoted, replayed, rolled back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.registry import Registry
from kappa_assets.repair import plan_repair, run_repair
from kappa_assets.replay import plan_replay, promote_replay, rollback, run_replay
from kappa_assets_tests.lakes import shop_files
from kappa_assets_tests.lakes.kept import ARCHIVES, ORDERS, SALES, KeptLake, unpack
from kappa_assets_tests.lakes.shop import SHOP

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST_DAY = dt.date(2026, 11, 20)


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptLake:
    return unpack(request.param, tmp_path / "shop")


@pytest.fixture
def setting(spark: SparkSession, kept: KeptLake) -> Setting:
    return Setting(spark, kept.lake, kept.landing)


def land_more(kept: KeptLake) -> None:
    """A file of a day that is there already, one of a new day, and one that is no text."""
    shop_files.land(kept.landing, "2026-11-20-z.csv", 11)
    shop_files.land(kept.landing, "2026-11-22-a.csv", 12)
    shop_files.land_no_text(kept.landing, "2026-11-22-b.csv")


def test_after_upkeep_it_takes_in_what_lands_and_a_repair_brings_back_what_was_deleted(
    kept: KeptLake, setting: Setting
) -> None:
    before = Tape(kept.lake, ORDERS).head()
    maintain(kept.lake, SHOP, Policy(keep_releases=1), now=dt.datetime.now(dt.UTC) + dt.timedelta(days=60))
    live = Registry(kept.lake).state().live(SALES)
    assert live is not None
    DeltaTable(kept.lake.folder(SALES, live.number)).delete(f"_arrival_date = '{FIRST_DAY}' AND pieces > 3")
    land_more(kept)
    Host(setting, SHOP).drain()
    assert Tape(kept.lake, ORDERS).head().batch == before.batch + 1
    with pytest.raises(AssertionError, match=r"silver\.sales"):
        kept.verify()

    done = list(run_repair(setting, SHOP, plan_repair(kept.lake, SHOP, SALES, [FIRST_DAY])))
    assert [(d.slice, d.rows > d.replaced) for d in done] == [(FIRST_DAY, True)]
    Host(setting, SHOP).drain()
    kept.verify()
    kept.verify_rejects()


@pytest.mark.slow
def test_what_waited_is_promoted_and_a_replay_from_an_old_version_too_and_rolled_back(
    kept: KeptLake, setting: Setting
) -> None:
    state = Registry(kept.lake).state()
    waiting = state.open_replay()
    assert waiting is not None
    land_more(kept)
    Host(setting, SHOP).drain()
    promoted = promote_replay(setting, SHOP, waiting.id)
    assert promoted.tables == waiting.candidates
    kept.verify()

    old = Tape(kept.lake, ORDERS).commits()[1].version
    result = run_replay(setting, SHOP, plan_replay(kept.lake, SHOP, [SALES], from_version=old))
    assert (result.state, result.comparison.faults) == ("promoted", ())
    assert all((t.changed, t.only_live, t.only_candidate) == (0, 0, 0) for t in result.comparison.tables)
    kept.verify()

    rollback(kept.lake)
    assert Registry(kept.lake).state().release == promoted
    kept.verify()
    rollback(kept.lake, state.current)
    assert Registry(kept.lake).state().release == state.release
    shop_files.land(kept.landing, "2026-11-23-a.csv", 13)
    Host(setting, SHOP).drain()
    kept.verify()
    kept.verify_rejects()

    replayed = run_replay(setting, SHOP, plan_replay(kept.lake, SHOP, [SALES]), promote="hold")
    assert all((t.changed, t.only_live, t.only_candidate) == (0, 0, 0) for t in replayed.comparison.tables)
