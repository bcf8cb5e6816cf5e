"""Options of Files that say which folders are read, what their names tell, and when rows arrived."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from pyspark.sql.types import DateType, LongType, StructField, StructType, TimestampType

from kappa_assets import Files, bronze
from kappa_assets.cli import main
from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT
from kappa_assets.errors import SourceError
from kappa_assets.kinds.query import Setting
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import IMPLAUSIBLE
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.stored_table import LocalStoredTable
from kappa_assets.place.sliced_rows import rows_in_files
from kappa_assets.sources.ledger.landing_look import LandingLook

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
THEN = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)


class Shop:
    """A tape of one landing folder, read with some options, whose batch a test gives by hand."""

    def __init__(self, spark: SparkSession, root: Path, **options: Any) -> None:
        self._spark, self.root = spark, root
        self.lake, self.folder = Lake.at(root / "lake"), root / "landing" / "orders"
        self.folder.mkdir(parents=True)
        self.orders = bronze("orders", source=Files("orders", format="csv", header=True, **options))
        setting = Setting(spark, self.lake, root / "landing")
        self.query = TapeQuery(setting, self.orders, Tape(self.lake, self.orders.name), clock=lambda: NOW)
        (self.query.checkpoint.path / "deliveries").mkdir(parents=True)
        (self.query.checkpoint.path / "metadata").write_text('{"id": "c1"}')

    def read(self, files: dict[str, str]) -> list[dict[str, Any]]:
        """Land the files, read them as one batch, and return the rows of the tape by file and order."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            os.utime(path, (THEN.timestamp(),) * 2)
        plan = self.query.checkpoint.path / "deliveries" / "0.json"
        plan.write_text(json.dumps({"files": list(files)}))
        self.query.apply(self._spark.createDataFrame([(f"file:{plan}",)], "path string"), 0)
        rows: list[dict[str, Any]] = DeltaTable(self.lake.folder(self.orders.name)).to_pyarrow_table().to_pylist()
        return sorted(rows, key=lambda row: (row["_source"]["file"], row["_row"]))

    @property
    def implausible(self) -> int:
        found = last_note(self.lake.folder(self.orders.name))
        assert found is not None
        return int(found[1].source[IMPLAUSIBLE])


def test_folders_called_key_value_give_columns_and_a_file_that_has_one_itself_is_set_aside(
    spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, tmp_path, folder_columns=True)
    region = {
        "a.csv": (None, None),
        "day=2026-01-05/region=north%2Feast/b.csv": ("2026-01-05", "north/east"),
        "REGION=west/c.csv": (None, "west"),
        "region=__HIVE_DEFAULT_PARTITION__/d.csv": (None, None),
        "region=a+b/e.csv": (None, "a+b"),
        "region=100%zz/f.csv": (None, "100%zz"),
        "plain/day=x=y/g.csv": ("x=y", None),
        "hot.key[1]=7/h.csv": (None, None),
    }
    clash = {"Customer=x/i.csv": "customer\nx\n"}
    rows = shop.read({file: f"customer\n{file[-5]}\n" for file in region} | clash)
    named = [{name.lower(): value for name, value in row.items()} for row in rows]  # the first file's spelling is taken
    assert {r["_source"]["file"]: (r["day"], r["region"]) for r in named} == region
    assert [r["hot_key[1]"] for r in rows if r["customer"] == "h"] == ["7"]
    (aside,) = DeltaTable(shop.lake.rejects(shop.orders.name)).to_pyarrow_table().to_pylist()
    assert (aside["file"], aside["reason"]) == (
        "Customer=x/i.csv",
        "has a column 'Customer', which its folder gives too",
    )


ROWS = "customer,sent\na,2026-03-02 10:00:00\nb,\nc,no time\nd,2300-01-01\ne,2026-03-05\n"


@pytest.mark.parametrize(
    ("arrived", "expected", "implausible"),
    [
        ("name", ["2026-02-01"] * 5, 0),
        ("file", [THEN] * 5, 0),
        ("column:sent", [dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC), NOW, NOW, NOW, "2026-03-05"], 2),
        ("column:SENT", [dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC), NOW, NOW, NOW, "2026-03-05"], 2),
        ("column:other", [NOW] * 5, 0),
        ("unknown", [None] * 5, 0),
    ],
)
def test_rows_arrived_when_the_source_has_it_told(
    spark: SparkSession, tmp_path: Path, arrived: str, expected: list[dt.datetime | str | None], implausible: int
) -> None:
    shop = Shop(spark, tmp_path, arrived=arrived)
    rows = shop.read({"2026-02-01.csv": ROWS})
    midnight = dt.time(tzinfo=dt.UTC)
    at = [dt.datetime.combine(dt.date.fromisoformat(e), midnight) if isinstance(e, str) else e for e in expected]
    assert [r["customer"] for r in rows] == list("abcde")
    assert [r["_arrived_at"] for r in rows] == at
    assert [r["_arrival_date"] for r in rows] == [(NOW if moment is None else moment).date() for moment in at]
    assert shop.implausible == implausible


def test_rows_whose_time_of_arrival_is_unknown_stay_in_their_slice_when_files_are_read_for_a_repair(
    spark: SparkSession, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "x" / f"{ARRIVAL_DATE}=2026-03-09"
    rows = spark.createDataFrame([(1, None), (2, NOW)], f"id long, {ARRIVED_AT} timestamp")
    rows.coalesce(1).write.parquet(str(folder))
    schema = StructType(
        [StructField("id", LongType()), StructField(ARRIVED_AT, TimestampType()), StructField(ARRIVAL_DATE, DateType())]
    )
    paths = [str(path.relative_to(tmp_path)) for path in folder.glob("*.parquet")]
    read = rows_in_files(spark, LocalStoredTable(tmp_path), paths, schema).orderBy("id").collect()
    assert [row[ARRIVAL_DATE] for row in read] == [dt.date(2026, 3, 9), dt.date(2026, 3, 10)]


def test_subfolders_are_passed_by_where_they_are_not_meant(tmp_path: Path) -> None:
    (tmp_path / "north").mkdir()
    for name in ("a.csv", "north/b.csv"):
        (tmp_path / name).write_text("x")
    for all_files in (True, False):
        assert [one.file for one in LandingLook(tmp_path, recursive=False).changed(all_files=all_files)] == ["a.csv"]
    assert len(LandingLook(tmp_path).changed(all_files=True)) == 2


def test_what_was_set_aside_is_taken_again_by_name_or_by_pattern(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path)
    broken = dict.fromkeys(("a.csv", "b.csv", "north/c.csv", "odd[1].csv"), "\x00\x01")
    shop.read({"sound.csv": "customer\nx\n"} | broken)
    text = 'from kappa_assets import Files, bronze\norders = bronze("orders", source=Files("orders", header=True))\n'
    (tmp_path / "shop.py").write_text(text)

    def again(*arguments: str) -> list[str]:
        places = ["--lake", shop.lake.root, "--landing", tmp_path / "landing", "--pipeline", tmp_path / "shop.py"]
        command = ["deliveries", "bronze.orders", "--again", *arguments, *map(str, places), "--json"]
        result = CliRunner().invoke(main, command)
        if isinstance(result.exception, SourceError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return [row["file"] for row in json.loads(result.stdout)]

    assert again("--file", "north/*") == ["north/c.csv"]
    assert again("--file", "odd[1].csv") == ["odd[1].csv"]
    assert again("--file", "south/*") == []
    places = ["--lake", str(shop.lake.root), "--pipeline", str(tmp_path / "shop.py")]
    result = CliRunner().invoke(main, ["deliveries", "bronze.orders", "--source", "files:other", *places])
    assert "has no source 'files:other', but files:orders" in result.output
    assert again() == ["a.csv", "b.csv"]
    assert again() == []
