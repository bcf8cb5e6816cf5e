"""A table of the lake compared with a Delta table outside of it, on the command line and by itself."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable, write_deltalake

from kappa_assets.cli import main
from kappa_assets.compare.outside import compare_with, how_it_differs
from kappa_assets.errors import NotComparable
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RETAIL = "kappa_assets_tests.retail_sales"
DAILY, SALES = TableName.parse("gold.daily_revenue"), TableName.parse("silver.sales")


def run(shop: Path, *arguments: str | Path, pipeline: str = RETAIL) -> Result:
    environment = {"KAPPA_LAKE": str(shop / "lake"), "KAPPA_PIPELINE": pipeline}
    return CliRunner().invoke(main, ["compare", *map(str, arguments)], env=environment)


def rows_of(shop: Path, table: TableName) -> pa.Table:
    return DeltaTable(Lake.at(shop / "lake").link(table).resolve()).to_pyarrow_table()


def test_a_gold_is_compared_with_what_a_batch_job_wrote_row_by_row_and_the_exit_code_says_it(
    drained_shop: Path, tmp_path: Path, spark: SparkSession
) -> None:
    del spark
    batch = tmp_path / "batch"
    gold = rows_of(drained_shop, DAILY)
    write_deltalake(batch, gold)
    same = run(drained_shop, "gold.daily_revenue", "--with", batch)
    assert same.exit_code == 0, same.output
    assert "the same in the columns that both have" in same.stdout

    # One row is gone there, one has another value, one is there alone; and each side has a column of its own.
    lines = gold.drop_columns(["units"]).to_pylist()
    (gone, changed, *others) = sorted(lines, key=lambda row: str((row["day"], row["country"])))
    strange = changed | {"day": dt.date(2001, 1, 1)}
    theirs = [changed | {"revenue": changed["revenue"] + 1}, *others, strange]
    schema = gold.drop_columns(["units"]).schema
    table = pa.Table.from_pylist(theirs, schema=schema).append_column("note", pa.array(["x"] * len(theirs)))
    write_deltalake(batch, table, mode="overwrite", schema_mode="overwrite")
    differs = run(drained_shop, "gold.daily_revenue", "--with", batch, "--json")
    assert differs.exit_code == 1
    assert (
        "1 keys have other values; 1 keys are only in the other table; 1 keys are only in gold.daily" in differs.stderr
    )
    told = json.loads(differs.stdout)
    (line,) = (row for row in told if row["what"] == "table")
    assert (line["only_there"], line["only_here"], line["changed"]) == (1, 1, 1)
    assert (line["columns_only_here"], line["columns_only_there"]) == ("units", "note")
    assert (line["rows_here"], line["rows_there"]) == (len(lines), len(lines))
    sample = [row for row in told if row["what"] == "sample"]
    (value,) = (row for row in sample if row["column"] == "revenue")
    assert Decimal(value["there"]) - Decimal(value["here"]) == 1
    assert {str(gone["day"]), "2001-01-01"} <= {row["key"].split(",")[0].removeprefix("day=") for row in sample}
    people = run(drained_shop, "gold.daily_revenue", "--with", batch, "--keys", "day, country")
    assert people.exit_code == 1
    assert "only there" in people.stdout

    # A Silver's rows lie at addresses that nobody else has: they are compared whole, without the lineage.
    silver = rows_of(drained_shop, SALES).drop_columns(["_batch_id", "_row"])
    write_deltalake(tmp_path / "sales", silver)
    assert run(drained_shop, "silver.sales", "--with", tmp_path / "sales").exit_code == 0
    write_deltalake(tmp_path / "sales", silver.slice(0, 1), mode="append")
    twice = run(drained_shop, "silver.sales", "--with", tmp_path / "sales")
    assert "silver.sales differs from" in twice.stderr
    assert "1 rows are only in the other table" in twice.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gold.daily_revenue", "--with", "nowhere"), "there is no Delta table in "),
        (("gold.daily_revenue", "--with", "plain"), "there is no Delta table in "),
        (
            ("gold.daily_revenue", "--with", "other", "--keys", "day,city"),
            "no column 'city' (in the lake), 'day' (in the other table), 'city' (in",
        ),
        (("gold.daily_revenue", "--with", "other", "--keys", ""), "have no column in common: "),
        (("gold.unknown", "--with", "other"), "gold.unknown has not been written yet"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(
    drained_shop: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "plain").mkdir()
    write_deltalake(tmp_path / "other", pa.table({"x": [1]}))
    given = [tmp_path / one if one in ("nowhere", "plain", "other") else one for one in arguments]
    refused = run(drained_shop, *given)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert "Hint: " in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--with", "x"), "--with goes with the name of a table"),
        (("daily", "--with", "x"), "daily"),
        (("--keys", "day"), "--keys goes with --with"),
    ],
)
def test_words_that_do_not_go_together_are_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = run(tmp_path, *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_types_that_differ_are_told_and_values_compared_as_people_read_them(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = Lake.at(tmp_path / "lake")
    mine = lake.table(DAILY, 1)

    def write(where: str | Path, content: Mapping[str, Any]) -> None:
        write_deltalake(str(where), pa.table(content))

    write(mine.location, {"k": [1, 2], "v": pa.array([Decimal("1.50"), Decimal(2)], pa.decimal128(9, 2))})
    write(tmp_path / "there", {"k": ["1", "2"], "v": pa.array([Decimal("1.5"), Decimal(2)], pa.decimal128(9, 4))})
    found = compare_with(spark, DAILY, mine, tmp_path / "there", ["k"])
    assert how_it_differs(found) is None
    assert found.retyped_columns == ("k: string -> bigint", "v: decimal(9,4) -> decimal(9,2)")
    write_deltalake(
        tmp_path / "there", pa.table({"k": ["3"], "v": pa.array([None], pa.decimal128(9, 4))}), mode="append"
    )
    assert how_it_differs(compare_with(spark, DAILY, mine, tmp_path / "there", ["k"])) == (
        "1 keys are only in the other table"
    )
    (tmp_path / "there" / "_delta_log" / "00000000000000000002.json").write_text("no log\n")
    with pytest.raises(NotComparable, match="cannot be read"):
        compare_with(spark, DAILY, mine, tmp_path / "there", ["k"])
