"""Which landed files Spark's stream finds: folders, brackets, clocks, and what other programs leave beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets import Files
from kappa_assets.errors import SourceError
from kappa_assets.sources.files.file_batch import local_paths, stream_of_files
from kappa_assets.sources.files.landing_folder import LandingFolder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

YEAR_2300 = 10_413_792_000
BEFORE_1970 = -86_400


class Reader:
    """The stream of one landing folder, on a checkpoint of its own."""

    def __init__(self, spark: SparkSession, root: Path, folder: str = "orders") -> None:
        self._spark = spark
        self._source = Files(folder, format="csv", header=True)
        self.landing = root / "landing"
        self.folder = self.landing / folder
        self.checkpoint = root / "checkpoint"
        self.folder.mkdir(parents=True)

    def land(self, name: str, *, at: float | None = None) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("id\n1\n")
        if at is not None:
            os.utime(path, (at, at))

    def read(self, *, max_files: int = 1_000, stream: DataFrame | None = None) -> list[str]:
        """Return the files that are new, each as often as it was given, relative to the folder."""
        found: list[str] = []

        def take(batch: DataFrame, _: int) -> None:
            found.extend(local_paths(row.path for row in batch.collect()))

        stream = stream or stream_of_files(self._spark, self._source, self.landing, max_files=max_files)
        started = stream.writeStream.foreachBatch(take).option("checkpointLocation", str(self.checkpoint))
        started.trigger(availableNow=True).start().awaitTermination()
        return sorted(os.path.relpath(path, self.folder) for path in found)


@pytest.mark.parametrize(
    ("landed", "read"),
    [
        ({"a.csv": None, "2026/01/05/a.csv": None, "north/a.csv": None}, ["2026/01/05/a.csv", "a.csv", "north/a.csv"]),
        (
            {"_read/a.csv": None, ".tmp/a.csv": None, "_x.csv": None, ".y.csv": None, "_metadata.csv": None, "b": None},
            ["b"],
        ),
        (
            {"country=NO/a.csv": None, "country=IT/a.csv": None, "year=2026/a.csv": None, "z.csv": None},
            ["country=IT/a.csv", "country=NO/a.csv", "year=2026/a.csv", "z.csv"],
        ),
        ({"_spark_metadata/0": None, "part-0.csv": None}, ["part-0.csv"]),
        ({"in [1]/a{b}*.csv": None, "in [1]/c.csv": None}, ["in [1]/a{b}*.csv", "in [1]/c.csv"]),
    ],
    ids=["subfolders", "names that are passed by", "folders called key=value", "left by a Spark sink", "brackets"],
)
def test_what_lands_is_found(
    spark: SparkSession, tmp_path: Path, landed: Mapping[str, float | None], read: list[str]
) -> None:
    reader = Reader(spark, tmp_path)
    for name in landed:
        reader.land(name)
    assert reader.read() == read


def test_brackets_in_the_path_of_the_landing_folder_are_part_of_its_name(spark: SparkSession, tmp_path: Path) -> None:
    reader = Reader(spark, tmp_path / "in [prod] {a,b}", "orders [x]?*")
    decoy = Reader(spark, tmp_path / "in p a", "orders x")
    reader.land("1.csv")
    decoy.land("2.csv")
    assert reader.read() == ["1.csv"]
    reader.land("3.csv")
    assert reader.read() == ["3.csv"]


def test_a_file_is_found_whatever_the_times_of_those_before_it(spark: SparkSession, tmp_path: Path) -> None:
    reader = Reader(spark, tmp_path)
    reader.land("1.csv", at=YEAR_2300)
    assert reader.read() == ["1.csv"]
    reader.land("2.csv")
    reader.land("3.csv", at=BEFORE_1970)
    assert reader.read(max_files=1) == ["2.csv", "3.csv"]
    assert reader.read() == []


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("country=IT/a.csv", "country=NO/b.csv")])
def test_a_checkpoint_of_the_version_before_goes_on_where_it_was(
    spark: SparkSession, tmp_path: Path, names: tuple[str, ...]
) -> None:
    reader = Reader(spark, tmp_path)
    for name in names:
        reader.land(name)
    schema = "path string, modificationTime timestamp, length long, content binary"
    before = spark.readStream.format("binaryFile").schema(schema).option("maxFileAge", "36500d")
    assert reader.read(stream=before.load(str(reader.folder)).select("path")) == sorted(names)
    reader.land("c.csv")
    reader.land("country=NO/d.csv")
    assert reader.read() == ["c.csv", "country=NO/d.csv"]


def test_a_landing_folder_that_was_moved_would_be_read_again_and_so_is_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Spark knows a file by its whole path; the guard reads what Spark itself wrote into the checkpoint."""
    reader = Reader(spark, tmp_path / "in [1] ü")
    for name in ("a b.csv", "north/c+d.csv"):
        reader.land(name)
        reader.read()
        LandingFolder(reader.folder, reader.checkpoint).check()
    moved = reader.landing.rename(tmp_path / "moved")
    with pytest.raises(SourceError, match=r"'.*/in \[1\] ü/landing/orders/north/c\+d.csv'\nHint: .*a second time"):
        LandingFolder(moved / "orders", reader.checkpoint).check()
