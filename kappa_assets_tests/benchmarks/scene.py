"""What the benchmarks run on: lakes with a tape, and single generations built from it by the product's own queries."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import kappa_assets.pipelines.retail as retail_package
from kappa_assets.declare.tables import Derived
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.host.assemble import query_of, tapes_of
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation
from kappa_assets_tests.retail_sales import pipeline

INVOICES = pipeline.bronzes[0]
SALES = TableName.parse("silver.sales")
DAILY_REVENUE = TableName.parse("gold.daily_revenue")
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


def packaged_lines() -> list[str]:
    """The lines of the packaged month, without headers."""
    folder = Path(retail_package.__path__[0]) / "data"
    lines: list[str] = []
    for path in sorted(folder.glob("*.csv.gz")):
        lines += gzip.decompress(path.read_bytes()).decode().splitlines()[1:]
    return lines


def land_files(landing: Path, *, files: int, lines: int, dated: bool = True, seed: int = 0) -> None:
    """Write `files` CSV files of `lines` lines each, drawn from the packaged month.

    `dated`: their names give twenty days, one after the other, which Bronze makes slices of; else all arrive today.
    """
    month = packaged_lines()
    pick = random.Random(seed)
    folder = landing / "invoices"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        body = "\n".join([HEADER, *pick.choices(month, k=lines)]) + "\n"
        day = f"2010-12-{number * 20 // files + 1:02d}-" if dated else ""
        (folder / f"{day}{number:05d}.csv").write_text(body)


def lay_tape(spark: SparkSession, root: Path, *, files: int, lines: int, per_batch: int) -> Lake:
    """Return a lake whose tape holds `files` landed files, `per_batch` of them in a commit."""
    land_files(root / "landing", files=files, lines=lines)
    lake = Lake.at(root / "lake")
    setting = Setting(spark, lake, root / "landing", Pace(landed_files=per_batch))
    Runner(TapeQuery(setting, INVOICES, tapes_of(setting, pipeline)[INVOICES.name])).drain(lambda: None)
    return lake


def beside(lake: Lake, root: Path) -> Lake:
    """Return an empty lake that shares the tape of another."""
    other = Lake.at(root)
    target = other.folder(INVOICES.name)
    target.parent.mkdir(parents=True)
    target.symlink_to(lake.folder(INVOICES.name))
    return other


def build(setting: Setting, *tables: TableName) -> None:
    """Build the first generation of `tables`, upstream first, with the product's own queries."""
    tapes = tapes_of(setting, pipeline)
    for table in tables:
        Runner(query_of(setting, pipeline, first_generation(table), tapes)).drain(lambda: None)


def first_generation(table: TableName) -> Generation:
    return first_generation_of(pipeline.derived_table(table))


def first_generation_of(table: Derived) -> Generation:
    return Generation(table.name, 1, code_version(table), 1, 0, None, None, "")


def answer(rows: DataFrame, columns: tuple[str, ...]) -> tuple[int, str]:
    """Return a row count and an order-free digest of some columns."""
    found = rows.agg(
        F.count("*"), F.sum(F.xxhash64(*[F.col(c).cast("string") for c in columns]).cast("decimal(38,0)"))
    ).collect()[0]
    return int(found[0]), str(found[1])


def table_answer(spark: SparkSession, folder: Path, columns: tuple[str, ...]) -> tuple[int, str]:
    return answer(spark.read.format("delta").load(str(folder)), columns)


def expected_columns() -> Mapping[TableName, tuple[str, ...]]:
    """The columns by which answers are compared."""
    return {
        SALES: ("invoice_no", "stock_code", "quantity", "amount", "customer_id", "country", "sold_at"),
        DAILY_REVENUE: ("day", "country", "revenue", "units", "lines"),
    }


def numbered(root: Path, name: str) -> Iterator[Path]:
    """Yield fresh folders below `root`."""
    number = 0
    while True:
        number += 1
        yield root / f"{name}-{number}"
