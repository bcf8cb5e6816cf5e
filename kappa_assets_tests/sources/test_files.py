"""The Files source on Spark: names, columns, arrival, and files that only Spark cannot read."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import DataType, LongType, StringType

from kappa_assets import Files
from kappa_assets.errors import SourceError
from kappa_assets.sources.files.file_batch import culprits, folder_of, local_paths, read_batch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CSV = Files("orders", format="csv", header=True)
ODD_NAMES = (
    "a b.csv",
    "a%20b.csv",
    "a#b.csv",
    "a?b.csv",
    "a*b.csv",
    "x[1].csv",
    "{x}.csv",
    "ü茶.csv",
    "a;b&c=d.csv",
    "a+b.csv",
    "a\\b.csv",
    "it's.csv",
)
KNOWN: Mapping[str, DataType | None] = {"id": None, "country": None}


def rows(
    spark: SparkSession, source: Files, paths: Iterable[Path], known: Mapping[str, DataType | None] = KNOWN
) -> list[Any]:
    batch = read_batch(spark, source, [str(p) for p in paths], known)
    return [] if batch.rows is None else sorted(batch.rows.collect(), key=lambda r: (r._source.file, str(r)))


def test_every_name_a_file_can_have_is_read_once_and_told_as_it_is(spark: SparkSession, tmp_path: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        (tmp_path / name).write_text(f"id,country\n{number},Malta\n")
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text(f"id,country\n{name},Malta\n")
    seen = local_paths(r.path for r in spark.read.format("binaryFile").load(str(tmp_path)).select("path").collect())
    assert sorted(seen) == sorted(str(path) for path in tmp_path.iterdir())
    found = sorted((row._source.file, row.id) for row in rows(spark, CSV, map(Path, seen)))
    odd = [(name, str(number)) for number, name in enumerate(ODD_NAMES)]
    assert found == sorted([*odd, ("1.csv", "1.csv"), ("2.csv", "2.csv")])


def test_files_of_one_name_in_several_folders_are_told_apart(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a.csv", "north/a.csv", "south/sea/a.csv", "south/ü +%20.csv", "country=NO/a.csv", "in/in/a.csv"]
    landing = tmp_path / "in [1]" / "in"
    for number, name in enumerate(names):
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).write_text(f"id,country\n{number},Malta\n")
    paths = [str(landing / name) for name in names]
    for chosen in (range(6), range(1), range(1, 3)):
        batch = read_batch(
            spark, CSV, [paths[n] for n in chosen], KNOWN, folder=tmp_path / "x" / ".." / "in [1]" / "in"
        )
        assert batch.rows is not None
        found = [(row._source.file, row.id) for row in batch.rows.collect()]
        assert sorted(found) == sorted((names[n], str(n)) for n in chosen)


def test_paths_are_plain_and_each_is_given_once() -> None:
    uris = ["file:/in/b%20#?.csv", "file:///in/a b.csv", "/in/c.csv", "file:/in/b%20#?.csv"]
    assert local_paths(uris) == ["/in/a b.csv", "/in/b%20#?.csv", "/in/c.csv"]


def test_columns_are_matched_by_name_and_each_line_keeps_its_content(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(b'\xef\xbb\xbfid,country\n1,"Korea, ""South"""\n\n2,Malta\\\n3\n4,a,b\n5,o"pen"\n')
    (tmp_path / "2.csv").write_bytes(b"country, id\nEIRE,6\n")
    found = [(r.id, r.country, r._malformed) for r in rows(spark, CSV, sorted(tmp_path.iterdir()))]
    assert found == [
        ("1", 'Korea, "South"', None),
        ("2", "Malta\\", None),
        ("3", None, "3"),
        ("4", "a", "4,a,b"),
        ("5", 'o"pen"', None),
        ("6", "EIRE", None),
    ]


OLD = dt.datetime(2025, 3, 4, 5, 6, 7, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("name", "arrived"),
    [
        ("2026-01-05.csv", dt.datetime(2026, 1, 5, tzinfo=dt.UTC)),
        ("shop-2026-01-05-final.csv", dt.datetime(2026, 1, 5, tzinfo=dt.UTC)),
        ("2026-01-05T101530-000021.csv", dt.datetime(2026, 1, 5, 10, 15, 30, tzinfo=dt.UTC)),
        ("2026-01-05T256199.csv", dt.datetime(2026, 1, 5, tzinfo=dt.UTC)),
        ("2026-13-45.csv", OLD),
        ("2026-02-30.csv", OLD),
        ("20260105.csv", OLD),
        ("orders.csv", OLD),
    ],
)
def test_the_name_tells_when_a_file_arrived_or_else_its_time_does(
    spark: SparkSession, tmp_path: Path, name: str, arrived: dt.datetime
) -> None:
    path = tmp_path / name
    path.write_text("id,country\n1,Malta\n")
    os.utime(path, (OLD.timestamp(), OLD.timestamp()))
    batch = read_batch(spark, CSV, [str(path)], KNOWN)
    assert batch.rows is not None
    seconds = batch.rows.selectExpr("CAST(_arrived_at AS DOUBLE) s").collect()[0].s
    assert seconds == arrived.timestamp()


def test_files_that_only_spark_cannot_read_are_found_one_by_one(spark: SparkSession, tmp_path: Path) -> None:
    good, wide, colon = tmp_path / "good.csv", tmp_path / "wide.csv", tmp_path / "a:b.csv"
    good.write_text("id,country\n1,Malta\n")
    wide.write_text("id,country\n" + "x," * 30_000 + "\n")
    colon.write_text("id,country\n1,Malta\n")
    found = culprits(spark, CSV, [str(p) for p in (good, wide, colon)], RuntimeError("the read failed"))
    assert [Path(a.file).name for a in found] == ["wide.csv", "a:b.csv"]
    assert "Relative path in absolute URI" in found[1].reason
    assert all("\n" not in a.reason and len(a.reason) < 300 for a in found)


def test_a_read_that_failed_although_every_file_is_sound_keeps_its_error(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("id,country\n1,Malta\n")
    with pytest.raises(OSError, match="the disk is full"):
        culprits(spark, CSV, [str(tmp_path / "good.csv")], OSError("the disk is full"))


def test_lines_stay_raw_and_parquet_keeps_its_columns(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"id": 1}\nno json \x00\n')
    found = rows(spark, Files("o", format="json"), [tmp_path / "x.json"])
    assert sorted(r.value for r in found) == ["no json \x00", '{"id": 1}']
    pq.write_table(pa.table({"id": [1], "unit price": ["2"]}), tmp_path / "x.parquet")
    (row,) = rows(spark, Files("o", format="parquet"), [tmp_path / "x.parquet"])
    assert (row.id, row.unit_price, row._source.file) == (1, "2", "x.parquet")


PARQUET = Files("o", format="parquet")
BIGINT, TEXT = pa.int64(), pa.string()
OTHER = "has columns of another type than the tape"


def parquet(folder: Path, name: str, **columns: tuple[pa.DataType, Sequence[object]]) -> str:
    pq.write_table(pa.table({c: pa.array(values, kind) for c, (kind, values) in columns.items()}), folder / name)
    return str(folder / name)


def test_a_parquet_file_of_another_type_than_the_tape_is_set_aside_alone(spark: SparkSession, tmp_path: Path) -> None:
    good = [parquet(tmp_path, name, id=(BIGINT, [1]), country=(TEXT, ["Malta"])) for name in ("a.parquet", "d.parquet")]
    parquet(tmp_path, "b.parquet", id=(TEXT, ["2"]), country=(BIGINT, [356]))
    parquet(tmp_path, "c.parquet", ID=(pa.date32(), [3]))
    paths = [str(p) for p in tmp_path.iterdir()]
    batch = read_batch(spark, PARQUET, paths, {"id": LongType(), "country": StringType()})
    assert batch.rows is not None
    assert [(r.id, r.country) for r in batch.rows.collect()] == [(1, "Malta"), (1, "Malta")]
    assert sorted(batch.files) == good
    reasons = {Path(a.file).name: a.reason for a in batch.set_aside}
    assert reasons == {
        "b.parquet": f"{OTHER}: id is string, not bigint, country is bigint, not string",
        "c.parquet": f"{OTHER}: ID is date, not bigint",
    }


def test_of_files_that_disagree_about_a_new_column_the_first_is_taken(spark: SparkSession, tmp_path: Path) -> None:
    for name, kind, value in (("1", BIGINT, 7), ("2", TEXT, "7"), ("3", pa.decimal128(9, 2), 7), ("4", BIGINT, 8)):
        parquet(tmp_path, f"{name}.parquet", id=(BIGINT, [int(name)]), fresh=(kind, [value]))
    batch = read_batch(spark, PARQUET, sorted(str(p) for p in tmp_path.iterdir()), {"id": LongType()})
    assert batch.rows is not None
    assert sorted((r.id, r.fresh) for r in batch.rows.collect()) == [(1, 7), (4, 8)]
    assert [Path(a.file).name for a in batch.set_aside] == ["2.parquet", "3.parquet"]


def test_parquet_files_in_other_orders_and_with_other_columns_are_read_together(
    spark: SparkSession, tmp_path: Path
) -> None:
    parquet(tmp_path, "1.parquet", id=(BIGINT, [1]), country=(TEXT, ["Malta"]))
    parquet(tmp_path, "2.parquet", country=(TEXT, ["EIRE"]), id=(BIGINT, [2]))
    parquet(tmp_path, "3.parquet", id=(BIGINT, [3]), more=(pa.list_(BIGINT), [[3]]))
    found = rows(spark, PARQUET, tmp_path.iterdir(), {"id": LongType(), "country": StringType()})
    assert [(r.id, r.country, r.more) for r in found] == [(1, "Malta", None), (2, "EIRE", None), (3, None, [3])]


def test_a_batch_without_a_readable_file_has_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01\x02")
    batch = read_batch(spark, CSV, [str(tmp_path / "bad.csv"), str(tmp_path / "empty.csv")], KNOWN)
    assert (batch.rows, batch.files) == (None, ())
    assert [Path(a.file).name for a in batch.set_aside] == ["bad.csv"]


def test_a_missing_landing_folder_is_named_with_the_settings_that_change_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"landing folder '.*/orders' is missing\nHint: .*KAPPA_LANDING"):
        folder_of(CSV, tmp_path)
    (tmp_path / "orders").touch()
    with pytest.raises(SourceError):
        folder_of(CSV, tmp_path)
