"""An error is called after what happened, and its hint fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kappa_assets.errors import HostRunning, LakeBusy, MaintenanceRunning, PromotionRunning, ReplayRunning
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.host.assemble import hold_reason
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import HOST, PROMOTION, REPLAYS
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.registry import Generation
from kappa_assets.replay import discard_replay
from kappa_assets_tests.written_logs import PIPELINE, VISITS


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (HostRunning, "host"),
        (ReplayRunning, "replay"),
        (PromotionRunning, "promotion"),
        (MaintenanceRunning, "maint"),
    ],
)
def test_who_finds_a_lock_taken_is_told_by_whom_and_for_what(error: type[LakeBusy], word: str, tmp_path: Path) -> None:
    lake = Lake.at(tmp_path)
    lock = {HostRunning: HOST.lock(lake), ReplayRunning: REPLAYS.lock(lake), PromotionRunning: PROMOTION.lock(lake)}
    path = lock.get(error, lake.system / "maintenance.lock")
    with exclusive(path, "the work of another"), pytest.raises(error) as refused:
        exclusive(path, "ours", busy=error).__enter__()
    assert word in refused.value.what
    assert "process" in refused.value.what
    assert "the work of another since" in refused.value.what
    assert refused.value.hint


def test_each_room_refuses_in_its_own_words(tmp_path: Path) -> None:
    lake = Lake.at(tmp_path)
    with exclusive(lake.system / "maintenance.lock", "another"), pytest.raises(MaintenanceRunning):
        maintain(lake, PIPELINE)
    with exclusive(REPLAYS.lock(lake), "another"), pytest.raises(ReplayRunning):
        discard_replay(lake, "r1")


def test_why_a_table_is_held_begins_with_where_its_logic_is_declared() -> None:
    table = PIPELINE.derived_table(VISITS)
    deployed = Generation(VISITS, 1, code_version(table), 1, 0, None, None, "")
    assert hold_reason(deployed, table) is None
    reason = hold_reason(replace(deployed, code_version="0ld"), table)
    assert reason is not None
    assert reason.startswith(f"{table.origin}: generation 1 was written by logic 0ld")
    assert ".py:" in reason
