"""kill -9 in the middle of maintenance: the tables are as before or as after, and the next run goes on."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets.maintenance.one_run import maintain
from kappa_assets_tests.maintenance.hand_lake import MONDAY, TUESDAY, HandLake
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, VISITS

_DIES = """
import os, signal, sys
from kappa_assets import faults
from kappa_assets.place.local.lake import Lake
from kappa_assets.maintenance.one_run import maintain
from kappa_assets_tests.written_logs import PIPELINE

left = [int(sys.argv[2])]

def kill(point, what):
    left[0] -= point == "optimizing"
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

faults.inject(kill)
maintain(Lake.at(sys.argv[1]), PIPELINE)
"""


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_before_the_nth_commit_each_slice_is_old_or_new(lake_path: Path, nth: int) -> None:
    hand = HandLake(lake_path)
    for _ in range(5):
        hand.land(MONDAY, TUESDAY)
        hand.read(days=(MONDAY,))
    before = hand.rows(CLICKS), hand.rows(VISITS)
    project = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    died = subprocess.run([sys.executable, "-c", _DIES, str(lake_path), str(nth)], check=False, env=environment)
    assert died.returncode == -signal.SIGKILL
    assert (hand.rows(CLICKS), hand.rows(VISITS)) == before
    # 10 files on the tape: two slices of five, each rewritten or not, in this order.
    assert len(DeltaTable(hand.folder(CLICKS)).file_uris()) == {1: 10, 2: 6, 3: 2}[nth]
    assert len(DeltaTable(hand.folder(VISITS)).file_uris()) == 5
    hand.land(MONDAY)
    hand.read()
    before = hand.rows(CLICKS), hand.rows(VISITS)
    for days in (0, 8):
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        maintain(hand.lake, PIPELINE, now=now, progress=lambda _: None)
    assert (hand.rows(CLICKS), hand.rows(VISITS)) == before
    for table in (CLICKS, VISITS):
        folder = hand.folder(table)
        assert hand.files(table) == {str(Path(uri).relative_to(folder)) for uri in DeltaTable(folder).file_uris()}
