"""A lake of an earlier version, looked at and tidied up by the code of today, without Spark."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from kappa_assets import TableName
from kappa_assets.cli import main
from kappa_assets.health import run_checks
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain, preview
from kappa_assets.place.registry import Registry
from kappa_assets.replay import discard_replay
from kappa_assets_tests.lakes.kept import ARCHIVES, ORDERS, KeptLake, unpack
from kappa_assets_tests.lakes.shop import SHOP

MUCH_LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=60)


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptLake:
    return unpack(request.param, tmp_path / "shop")


def test_status_finds_every_table_at_the_head_of_the_tape_with_the_logic_that_is_deployed(kept: KeptLake) -> None:
    module = "kappa_assets_tests.lakes.shop"
    arguments = ["status", "--json", "--lake", str(kept.lake.root), "--pipeline", module]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["table"] for row in rows] == [str(table.name) for table in SHOP]
    head = Tape(kept.lake, ORDERS).head()
    for row in rows:
        assert row["position"] == {str(ORDERS): {"batch": head.batch, "version": head.version}} == row["head"]
        assert (row["lag_batches"], row["state"], row["error"]) == (0, "stopped", None)
        assert row["logic"] in (None, "current")


def test_every_check_passes_but_that_a_host_runs(kept: KeptLake) -> None:
    found = run_checks(kept.lake, SHOP, landing=kept.landing, now=MUCH_LATER)
    assert {o.check for o in found if not o.passed} == {"stream_healthy"}
    assert {str(o.table) for o in found} == {str(table.name) for table in SHOP}


def test_its_tables_hold_what_landed_and_its_links_lead_to_the_release(kept: KeptLake) -> None:
    kept.verify()
    kept.verify_rejects()
    release = Registry(kept.lake).state().release
    assert release is not None
    for table, number in release.tables.items():
        assert kept.lake.link(table).resolve() == kept.lake.folder(table, number)


def test_what_waits_for_a_person_can_be_given_up(kept: KeptLake) -> None:
    state = Registry(kept.lake).state()
    waiting = state.open_replay()
    assert waiting is not None
    assert waiting.state == "held"
    discard_replay(kept.lake, waiting.id)
    after = Registry(kept.lake).state()
    assert (after.open_replay(), after.release) == (None, state.release)
    assert not any(kept.lake.folder(table, number).exists() for table, number in waiting.candidates.items())
    kept.verify()


def test_upkeep_a_long_time_after_takes_nothing_that_is_live_or_waits(kept: KeptLake) -> None:
    state = Registry(kept.lake).state()
    waiting = state.open_replay()
    assert state.release is not None
    assert waiting is not None
    needed = [*state.release.tables.items(), *waiting.candidates.items(), (ORDERS, 1)]
    before = {key: _rows(kept, *key) for key in needed}
    tape = Tape(kept.lake, ORDERS).commits()
    policy = Policy(keep_releases=1)
    assert preview(kept.lake, SHOP, policy, now=MUCH_LATER), "it is old enough for something to go"
    maintain(kept.lake, SHOP, policy, now=MUCH_LATER)
    assert {key: _rows(kept, *key) for key in needed} == before
    assert Tape(kept.lake, ORDERS).commits() == tape
    failed = [o for o in run_checks(kept.lake, SHOP, landing=kept.landing, now=MUCH_LATER) if not o.passed]
    assert {o.check for o in failed} == {"stream_healthy"}


def _rows(kept: KeptLake, table: TableName, number: int) -> list[str]:
    return sorted(map(repr, DeltaTable(kept.lake.folder(table, number)).to_pyarrow_table().to_pylist()))
