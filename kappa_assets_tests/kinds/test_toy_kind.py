"""A kind that the house does not know lives in it all the same: drained, killed, drained again, replayed, promoted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets.errors import ReplayError
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.repair import plan_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.kinds.toy_kind import pipeline_of, plain, upper

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_stranger_s_kind_is_drained_killed_drained_replayed_and_promoted(spark: SparkSession, tmp_path: Path) -> None:
    landing, lake = tmp_path / "landing", Lake.at(tmp_path / "lake")
    (landing / "lines").mkdir(parents=True)
    for number in range(3):
        (landing / "lines" / f"{number}.txt").write_text(f"a{number}\nb{number}\n")
        os.utime(landing / "lines" / f"{number}.txt", (1_767_700_000 + number,) * 2)
    setting = Setting(spark, lake, landing, Pace(landed_files=1, table_files=1))

    def held() -> list[str]:
        return sorted(DeltaTable(lake.link(plain.name).resolve()).to_pyarrow_table().column("value").to_pylist())

    command = [sys.executable, "-m", "kappa_assets_tests.kinds.toy_kind", str(tmp_path)]
    died = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]
    Host(setting, pipeline_of(plain)).drain()
    assert held() == ["a2", "b2"]

    corrected = pipeline_of(upper)
    result = run_replay(setting, corrected, plan_replay(lake, corrected, [plain.name]), progress=lambda _: None)
    assert result.state == "promoted", result.comparison.faults
    assert held() == ["A2", "B2"]
    assert Registry(lake).state().release.tables == {plain.name: 2}  # type: ignore[union-attr]  # there is one
    (landing / "lines" / "3.txt").write_text("c\n")
    Host(setting, corrected).drain()
    assert held() == ["C"]
    with pytest.raises(ReplayError, match=r"silver\.plain has no slices to repair"):
        plan_repair(lake, corrected, plain.name, [])
