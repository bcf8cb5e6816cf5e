"""The generator of old lakes, which the benchmark of age stands on: the product finds its logs sound."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from kappa_assets.health import run_checks
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.local.log_files import latest_version, versions
from kappa_assets_tests.benchmarks.old_log import make_old
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS


def failed(hand: HandLake) -> set[str]:
    """Return the checks that fail, but for those of the host, which a lake by hand has none of."""
    found = [c for c in run_checks(hand.lake, PIPELINE) if c.check != "stream_healthy"]
    assert len(found) == 12
    return {f"{c.table} {c.check}" for c in found if not c.passed}


def test_a_lake_that_is_made_old_is_sound_and_goes_on(lake_path: Path) -> None:
    hand = HandLake(lake_path)
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    before, rows = failed(hand), hand.rows(VISITS).total()
    assert before == {"silver.visits logic_current", "gold.pages logic_current"}, "a lake by hand has no such logic"
    make_old(hand.lake, PIPELINE, 300)
    assert [latest_version(hand.folder(t)) for t in (CLICKS, VISITS, PAGES)] == [301, 301, 301]
    assert failed(hand) == before
    assert Tape(hand.lake, CLICKS).head().batch == 300
    maintain(hand.lake, PIPELINE, now=dt.datetime.now(dt.UTC) + dt.timedelta(days=8), progress=lambda _: None)
    assert versions(hand.folder(CLICKS))[0] > 0
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    assert failed(hand) == before
    assert Tape(hand.lake, CLICKS).head().batch == 301
    assert (hand.rows(VISITS).total(), hand.rows(PAGES).total()) == (rows + 1, 1)
