"""A table's function is refused before any data flows, with the reason and the place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, expect
from kappa_assets.names import TableName
from kappa_assets_tests.logic.declared_logic import TAPE, check, gold_of, refusal, silver_of
from kappa_assets_tests.retail_sales import pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets_tests.logic.declared_logic import Logic


def test_every_table_of_the_example_pipeline_keeps_its_rules(spark: SparkSession) -> None:
    raw = [
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
    ]
    schema = ", ".join([*(f"{c} string" for c in raw), TAPE.partition(", value")[0]])
    upstream = spark.createDataFrame([], schema)
    output = check(pipeline[TableName.parse("silver.sales")], upstream)
    for table in pipeline.derived[1:]:
        assert check(table, output).columns


ROW_BY_ROW: dict[str, Logic] = {
    "everything as it is": lambda t: t,
    "select": lambda t: t.select(F.upper("value").alias("v"), *LINEAGE),
    "filter": lambda t: t.filter("value is not null").where(F.col("_row") > 1),
    "explode": lambda t: t.withColumn("part", F.explode(F.split("value", ","))),
    "outer explode of json": lambda t: t.select(
        F.explode_outer(F.from_json("value", "array<string>")).alias("x"), *LINEAGE
    ),
    "unpivot": lambda t: t.unpivot([*LINEAGE], ["value", "kind"], "name", "text"),
    "rename and back": lambda t: t.withColumnRenamed("_row", "r").withColumnRenamed("r", "_row"),
    "drop and fill": lambda t: t.drop("kind").fillna("none").dropna(),
    "alias": lambda t: t.alias("t").select("t.value", *[f"t.{c}" for c in LINEAGE]),
    "sql": lambda t: t.sparkSession.sql("select upper(value) v, t.* from {t} t where value <> ''", t=t),
    "sliding window of time": lambda t: t.withColumn("w", F.window("_arrived_at", "1 hour", "10 minutes")),
    "python function": lambda t: t.withColumn("v", F.udf(str.strip, "string")("value")),
}


@pytest.mark.parametrize("logic", ROW_BY_ROW.values(), ids=ROW_BY_ROW)
def test_a_row_by_row_silver_is_accepted(logic: Logic, tape: DataFrame) -> None:
    output = check(silver_of(logic), tape)
    assert set(LINEAGE) <= set(output.columns)


def test_the_output_has_the_schema_of_the_function(tape: DataFrame) -> None:
    output = check(silver_of(lambda t: t.select(F.length("value").alias("size"), *LINEAGE)), tape)
    assert output.schema.simpleString() == (
        "struct<size:int,_batch_id:bigint,_row:bigint,_arrived_at:timestamp,_arrival_date:date>"
    )


ACROSS_ROWS: dict[str, tuple[Logic, str]] = {
    "window": (
        lambda t: t.withColumn("n", F.row_number().over(Window.partitionBy("kind").orderBy("_row"))),
        "uses a window function",
    ),
    "group": (lambda t: t.groupBy(*LINEAGE).count(), "groups rows"),
    "join": (lambda t: t.join(t.select("kind").alias("k"), "kind"), "joins"),
    "distinct": (lambda t: t.distinct(), "removes duplicates"),
    "drop duplicates": (lambda t: t.dropDuplicates(["value"]), "removes duplicates"),
    "order": (lambda t: t.orderBy("value"), "orders rows"),
    "limit": (lambda t: t.limit(3), "limits the number of rows"),
    "offset": (lambda t: t.offset(3), "skips rows"),
    "sample": (lambda t: t.sample(0.5, seed=1), "samples rows"),
    "union": (lambda t: t.union(t), "unites DataFrames"),
    "repartition": (lambda t: t.repartition(3), "repartitions"),
    "pandas": (lambda t: t.mapInPandas(lambda i: i, t.schema), "not row by row: its plan has MapInPandas"),
    "other rows": (
        lambda t: t.sparkSession.createDataFrame([], t.schema),
        "reads something beside its upstream",
    ),
    "range": (
        lambda t: t.sparkSession.range(3).select("id", *[F.lit(1).alias(c) for c in LINEAGE]),
        "reads something beside its upstream (Range)",
    ),
    "no table": (
        lambda t: t.sparkSession.sql("select 1 _batch_id, 1 _row, 1 _arrived_at, 1 _arrival_date"),
        "reads something beside its upstream (OneRowRelation)",
    ),
    "subquery": (
        lambda t: t.sparkSession.sql("select * from {t} where value in (select kind from {t})", t=t),
        "reads rows in a subquery",
    ),
}


@pytest.mark.parametrize(("logic", "reason"), ACROSS_ROWS.values(), ids=ACROSS_ROWS)
def test_a_silver_that_looks_across_rows_is_refused(logic: Logic, reason: str, tape: DataFrame) -> None:
    assert f"silver.lines {reason}" in refusal(silver_of(logic), tape).replace("is not row", "not row")


UNSTABLE = [
    "current_timestamp()",
    "now()",
    "current_date()",
    "localtimestamp()",
    "current_time()",
    "rand()",
    "rand(7)",
    "randn()",
    "uuid()",
    "monotonically_increasing_id()",
    "spark_partition_id()",
    "input_file_name()",
    "shuffle(array(1, 2))",
    "uniform(1, 2)",
    "randstr(3)",
    "current_user()",
]


@pytest.mark.parametrize("expression", UNSTABLE)
def test_the_clock_and_dice_are_refused_wherever_they_stand(expression: str, tape: DataFrame) -> None:
    name = expression.partition("(")[0]
    nested = F.coalesce(F.col("value"), F.expr(f"cast({expression} as string)"))
    assert f"uses {name}()" in refusal(silver_of(lambda t: t.withColumn("x", nested)), tape)


@pytest.mark.parametrize("options", [{}, {"keys": ["kind"]}], ids=["whole", "keyed"])
def test_a_recomputed_gold_may_not_ask_the_clock_either(options: dict[str, object], sales: DataFrame) -> None:
    def recent(s: DataFrame) -> DataFrame:
        return s.filter(F.col("day") > F.current_date()).groupBy("kind").agg(F.max("day").alias("last"))

    assert "uses current_date()" in refusal(gold_of(recent, **options), sales)


def test_a_python_function_declared_nondeterministic_is_refused(tape: DataFrame) -> None:
    dice = F.udf(lambda text: text, "string").asNondeterministic()
    assert "non-deterministic function" in refusal(silver_of(lambda t: t.withColumn("v", dice("value"))), tape)


def test_a_silver_that_reads_another_file_is_refused(tape: DataFrame, tmp_path: Path) -> None:
    path = str(tmp_path / "other")
    tape.write.parquet(path)
    said = refusal(silver_of(lambda t: t.sparkSession.read.parquet(path)), tape)
    assert "reads something beside its upstream (LogicalRelation)" in said


def test_a_gold_that_reads_another_file_is_refused(sales: DataFrame, tmp_path: Path) -> None:
    path = str(tmp_path / "other")
    sales.select("kind").write.parquet(path)
    said = refusal(gold_of(lambda s: s.join(s.sparkSession.read.parquet(path), "kind")), sales)
    assert "reads a table or file beside its upstream" in said


@pytest.mark.parametrize("column", LINEAGE)
def test_a_silver_keeps_each_lineage_column(column: str, tape: DataFrame) -> None:
    said = refusal(silver_of(lambda t: t.drop(column)), tape)
    assert f"leaves out {column}" in said
    assert "*LINEAGE" in said


@pytest.mark.parametrize(
    "logic",
    [
        lambda t: t.withColumn("_row", F.col("_row") + 1),
        lambda t: t.withColumn("_row", F.col("_row").cast("int")),
        lambda t: t.withColumn("_row", F.col("_batch_id")),
        lambda t: t.withColumn("_row", F.lit(1).cast("long")),
    ],
    ids=["computed", "another type", "another column", "made up"],
)
def test_a_silver_may_not_change_the_address_of_a_row(logic: Logic, tape: DataFrame) -> None:
    assert "changes _row, which is the row's address on the tape" in refusal(silver_of(logic), tape)


def test_a_function_that_does_not_fit_its_upstream_says_so_in_one_line(tape: DataFrame) -> None:
    said = refusal(silver_of(lambda t: t.select("valeu", *LINEAGE)), tape)
    assert "`valeu` cannot be resolved" in said
    assert re.search(rf"\(at {re.escape(__file__)}:\d+\)$", said.splitlines()[0])
    assert "SQLSTATE" not in said
    assert len(said.splitlines()) == 2


def test_a_function_without_return_is_told_so(tape: DataFrame) -> None:
    assert "returns no DataFrame; got NoneType" in refusal(silver_of(lambda _: None), tape)  # type: ignore[arg-type, return-value]


def test_two_columns_of_one_name_are_refused_whatever_their_case(tape: DataFrame) -> None:
    assert "two columns named" in refusal(silver_of(lambda t: t.select("*", F.lit(1).alias("Value"))), tape)


def test_a_column_without_a_plain_name_is_refused(tape: DataFrame) -> None:
    assert "alias()" in refusal(silver_of(lambda t: t.select("*", F.length("value"))), tape)


def test_an_expectation_must_resolve_on_the_output(tape: DataFrame) -> None:
    rules = [expect("has_value", "value IS NOT NULL"), expect("has_size", "size > 0")]
    said = refusal(silver_of(lambda t: t, expect=rules), tape)
    assert "cannot meet its expectation 'has_size'" in said
    assert "`size` cannot be resolved" in said


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("_row + 1", "has_value"),
        ("value >", "has_value"),
        ("_arrived_at < now()", "uses now()"),
        ("rand() < 0.5", "uses rand()"),
        ("max(_row) > 1", "has_value"),
    ],
)
def test_an_expectation_keeps_the_rules_of_its_silver(condition: str, reason: str, tape: DataFrame) -> None:
    table = silver_of(lambda t: t, expect=[expect("has_value", condition)])
    assert reason in refusal(table, tape)


def test_the_output_is_not_filtered_by_the_expectations(tape: DataFrame) -> None:
    output = check(silver_of(lambda t: t, expect=[expect("has_value", "value IS NOT NULL")]), tape)
    assert "Filter" not in output._jdf.queryExecution().analyzed().toString()


def test_an_upstream_that_is_itself_computed_is_no_part_of_the_logic(tape: DataFrame) -> None:
    check(silver_of(lambda t: t), tape.distinct().orderBy("_row").limit(0))
