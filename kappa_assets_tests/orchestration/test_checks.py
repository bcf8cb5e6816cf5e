"""A check says the same in a run of its own as in the sensor's event without a run."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from kappa_assets.health import checks_of, run_checks
from kappa_assets.orchestration.asset_checks import evaluation, table_checks
from kappa_assets.orchestration.folders import Folders
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, WrittenLake


def test_a_run_of_the_checks_says_what_the_event_without_a_run_says(web: WrittenLake, tmp_path: Path) -> None:
    web.land()
    web.commit(CLICKS, None, add={"2026-03-01": 2}, operation="WRITE")  # by hand: append_only fails
    (clicks,) = (t for t in PIPELINE if t.name == CLICKS)
    checks = table_checks(Folders(web.lake.root, tmp_path / "landing"), PIPELINE, clicks)
    job = dg.define_asset_job("look", selection=dg.AssetSelection.all_asset_checks())
    found = dg.Definitions(asset_checks=[checks], jobs=[job]).resolve_job_def("look").execute_in_process()
    in_run = {e.check_name: e for e in found.get_asset_check_evaluations()}
    alone = {o.check: evaluation(o) for o in run_checks(web.lake, PIPELINE) if o.table == CLICKS}
    assert set(in_run) == set(alone) == set(checks_of(PIPELINE[CLICKS]))
    assert not in_run["append_only"].passed
    for name, event in alone.items():
        said = in_run[name]
        assert (said.asset_key, said.passed, said.severity) == (event.asset_key, event.passed, event.severity)
        assert (said.description, said.metadata) == (event.description, event.metadata)
