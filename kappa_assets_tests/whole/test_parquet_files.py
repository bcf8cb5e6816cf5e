"""Parquet files that disagree about a column's type: the tape goes on, and each misfit is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kappa_assets import LINEAGE, Files, Pipeline, bronze, silver
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.whole.verify import read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow
readings = bronze("readings", source=Files("readings", format="parquet"))


@silver
def temperatures(readings: DataFrame) -> DataFrame:
    """One row per reading."""
    return readings.select("sensor", "degrees", *LINEAGE)


PIPELINE = Pipeline.from_tables("weather", [readings, temperatures])


def test_a_file_whose_types_conflict_with_the_tape_is_set_aside_and_all_others_are_taken(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "readings"
    landing.mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")

    def drop(name: str, degrees: pa.Array) -> None:
        table = pa.table({"sensor": pa.array([name] * len(degrees)), "degrees": degrees})
        pq.write_table(table, landing / f"{name}.parquet")

    drop("first", pa.array([1.5, None, 3.0]))
    Host(setting, PIPELINE).drain()
    drop("good", pa.array([4.5]))
    drop("texts", pa.array(["5.5", "cold"]))
    drop("whole", pa.array([6, 7], pa.int32()))
    Host(setting, PIPELINE).drain()
    drop("later", pa.array([8.5]))
    Host(setting, PIPELINE).drain()

    kept = [("first", 1.5), ("first", 3.0), ("first", None), ("good", 4.5), ("later", 8.5)]
    kept += [("whole", 6.0), ("whole", 7.0)]
    for table in (readings, temperatures):
        rows = read(setting.lake.folder(table.name)).to_pylist()
        assert sorted(((r["sensor"], r["degrees"]) for r in rows), key=str) == sorted(kept, key=str)
    aside = read(setting.lake.rejects(readings.name)).to_pylist()
    assert {r["file"]: r["reason"].partition(": ")[2] for r in aside} == {
        "texts.parquet": "degrees is string, not double",
    }
    notes = [c.note for c in commits(setting.lake.folder(readings.name)) if c.note]
    assert [(n.rows, n.source["files"], n.source["set_aside"]) for n in notes] == [(3, 1, 0), (3, 2, 1), (1, 1, 0)]
