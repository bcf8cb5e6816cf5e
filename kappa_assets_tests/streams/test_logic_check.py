"""A table's function is refused before any data flows, with the reason and the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, expect, gold, silver
from kappa_assets.errors import LogicError
from kappa_assets.pipelines.retail import pipeline
from kappa_assets.streams.logic_check import check_logic
from kappa_assets.table import TableName

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    Logic = Callable[[DataFrame], DataFrame]

TAPE = "_batch_id long, _row long, _arrived_at timestamp, _arrival_date date, value string, kind string"
SALES = f"{TAPE}, day date, country string, price decimal(10,2), units int, weight double"
KEYS = ["day", "country"]


@pytest.fixture(scope="module")
def tape(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], TAPE)


@pytest.fixture(scope="module")
def sales(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], SALES)


def silver_of(logic: Logic, **options: object) -> object:
    """Declare a Silver that does what `logic` does."""

    def lines(tape: DataFrame) -> DataFrame:
        return logic(tape)

    return silver(**options)(lines)  # type: ignore[call-overload]


def gold_of(logic: Logic, **options: object) -> object:
    """Declare a Gold that does what `logic` does."""

    def totals(sales: DataFrame) -> DataFrame:
        return logic(sales)

    return gold(**options)(totals)  # type: ignore[call-overload]


def check(table: object, upstream: DataFrame) -> DataFrame:
    return check_logic(table, upstream)  # type: ignore[arg-type]


def refusal(table: object, upstream: DataFrame) -> str:
    """Return what the check says, after seeing that it names the place and gives a hint."""
    with pytest.raises(LogicError) as refused:
        check(table, upstream)
    assert refused.value.what.startswith(f"{__file__}:")
    assert refused.value.hint
    return str(refused.value)


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
    output = check_logic(pipeline[TableName.parse("silver.sales")], upstream)  # type: ignore[arg-type]
    for table in pipeline.derived[1:]:
        assert check_logic(table, output).columns


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


MERGED: dict[str, Logic] = {
    "plain": lambda s: s.groupBy(*KEYS).agg(F.sum("price").alias("total"), F.count("*").alias("lines")),
    "computed key": lambda s: s.groupBy(F.to_date("_arrived_at").alias("day"), "country").agg(
        F.sum("price").alias("total"), F.count("value").alias("lines")
    ),
    "filtered and computed below": lambda s: (
        s.filter("price > 0")
        .withColumn("amount", F.col("price") * F.col("units"))
        .groupBy(*KEYS)
        .agg(F.sum("amount").alias("total"), F.count(F.lit(1)).alias("lines"))
    ),
    "exploded below": lambda s: (
        s.withColumn("country", F.explode(F.split("country", ",")))
        .groupBy(*KEYS)
        .agg(F.sum("units").alias("total"), F.count("*").alias("lines"))
    ),
    "renamed and reordered above": lambda s: (
        s.groupBy(*KEYS)
        .agg(F.sum("price").alias("t"), F.count("*").alias("lines"))
        .withColumnRenamed("t", "total")
        .select("lines", "total", *KEYS)
    ),
    "renamed key": lambda s: s.groupBy(F.col("kind").alias("country"), "day").agg(
        F.sum("price").alias("total"), F.count("*").alias("lines")
    ),
    "sql": lambda s: s.sparkSession.sql(
        "select day, country, sum(price) total, count(*) lines from {s} group by day, country", s=s
    ),
}


@pytest.mark.parametrize("logic", MERGED.values(), ids=MERGED)
def test_an_aggregate_by_its_keys_can_be_merged(logic: Logic, sales: DataFrame) -> None:
    check(gold_of(logic, keys=KEYS, combine={"total": "sum", "lines": "count"}), sales)


def test_a_window_of_time_is_a_key_like_any_other(sales: DataFrame) -> None:
    def hourly(s: DataFrame) -> DataFrame:
        return s.groupBy(F.window("_arrived_at", "1 hour", "10 minutes").alias("hours")).agg(
            F.min("price").alias("low"), F.max("weight").alias("high")
        )

    check(gold_of(hourly, keys=["hours"], combine={"low": "min", "high": "max"}), sales)


def agg(*columns: str) -> Logic:
    """Return a logic that aggregates by the keys; in SQL, for a Column needs a session when it is made."""
    return lambda s: s.groupBy(*KEYS).agg(*map(F.expr, columns))


NOT_MERGEABLE: dict[str, tuple[Logic, dict[str, str], str]] = {
    "a sum of double": (agg("sum(weight) t"), {"t": "sum"}, "sums 't' as double"),
    "a sum of text": (agg("sum(value) t"), {"t": "sum"}, "sums 't' as double"),
    "a distinct count": (agg("count(distinct kind) n"), {"n": "count"}, "from distinct values"),
    "an average": (agg("avg(price) a"), {"a": "sum"}, "makes 'a' with Average"),
    "a set": (agg("collect_set(kind) k"), {"k": "max"}, "makes 'k' with CollectSet"),
    "a count said to be a sum": (agg("count(*) n"), {"n": "sum"}, "combines it as 'sum'"),
    "a sum said to be a max": (agg("sum(units) n"), {"n": "max"}, "with sum, and combines it"),
    "a cast sum": (agg("cast(sum(price) as int) t"), {"t": "sum"}, "more than a plain sum"),
    "two sums": (agg("sum(units) + sum(price) t"), {"t": "sum"}, "more than a plain sum"),
    "an undeclared column": (
        agg("sum(units) t", "max(day) last"),
        {"t": "sum"},
        "column 'last' that is neither in keys nor in combine",
    ),
    "a missing column": (agg("sum(units) t"), {"t": "sum", "n": "count"}, "leaves out n"),
    "a group filtered after": (
        lambda s: s.groupBy(*KEYS).agg(F.sum("units").alias("t")).filter("t > 1"),
        {"t": "sum"},
        "filters its groups",
    ),
    "having": (
        lambda s: s.sparkSession.sql(
            "select day, country, sum(units) t from {s} group by day, country having sum(units) > 1", s=s
        ),
        {"t": "sum"},
        "filters its groups",
    ),
    "an order": (
        lambda s: s.groupBy(*KEYS).agg(F.sum("units").alias("t")).orderBy("t"),
        {"t": "sum"},
        "orders rows after aggregating",
    ),
    "a ratio": (
        lambda s: s.groupBy(*KEYS).agg(F.sum("units").alias("t")).withColumn("t", F.col("t") / 2),
        {"t": "sum"},
        "computes 't' from aggregates",
    ),
    "two aggregations": (
        lambda s: s.groupBy(*KEYS, "kind").agg(F.sum("units").alias("t")).groupBy(*KEYS).agg(F.sum("t").alias("t")),
        {"t": "sum"},
        "has 2 aggregations",
    ),
    "no aggregation": (
        lambda s: s.select(*KEYS, F.col("units").alias("t")),
        {"t": "sum"},
        "has no aggregations",
    ),
    "fewer groups than keys": (
        lambda s: s.groupBy("day").agg(F.sum("units").alias("t"), F.max("country").alias("country")),
        {"t": "sum"},
        "does not group by its key 'country'",
    ),
    "more groups than keys": (
        lambda s: s.groupBy(*KEYS, "kind").agg(F.sum("units").alias("t")).drop("kind"),
        {"t": "sum"},
        "groups by 3 columns",
    ),
    "a cube": (lambda s: s.cube(*KEYS).agg(F.sum("units").alias("t")), {"t": "sum"}, "groups by 3 columns"),
    "a join below": (
        lambda s: s.join(s.select("kind"), "kind").groupBy(*KEYS).agg(F.sum("units").alias("t")),
        {"t": "sum"},
        "joins",
    ),
    "duplicates removed below": (
        lambda s: s.distinct().groupBy(*KEYS).agg(F.sum("units").alias("t")),
        {"t": "sum"},
        "removes duplicates",
    ),
    "dice below": (
        lambda s: s.filter(F.rand() > 0).groupBy(*KEYS).agg(F.sum("units").alias("t")),
        {"t": "sum"},
        "uses rand()",
    ),
}


@pytest.mark.parametrize(("logic", "combine", "reason"), NOT_MERGEABLE.values(), ids=NOT_MERGEABLE)
def test_what_cannot_be_merged_is_refused(logic: Logic, combine: dict[str, str], reason: str, sales: DataFrame) -> None:
    assert reason in refusal(gold_of(logic, keys=KEYS, combine=combine), sales)


def test_a_sum_of_decimals_is_ten_digits_wider_and_of_integers_a_bigint(sales: DataFrame) -> None:
    table = gold_of(
        agg("sum(price) p", "sum(units) u", "count(*) n"),
        keys=KEYS,
        combine={"p": "sum", "u": "sum", "n": "count"},
    )
    types = {f.name: f.dataType.simpleString() for f in check(table, sales).schema}
    assert types == {"day": "date", "country": "string", "p": "decimal(20,2)", "u": "bigint", "n": "bigint"}


def test_the_keys_of_a_recomputed_gold_are_columns_of_it(sales: DataFrame) -> None:
    def best(s: DataFrame) -> DataFrame:
        return s.groupBy("country").agg(F.collect_set("kind").alias("kinds"))

    check(gold_of(best, keys=["country"]), sales)
    assert "leaves out day" in refusal(gold_of(best, keys=KEYS), sales)


def test_a_recomputed_gold_may_order_limit_and_join_its_upstream(sales: DataFrame) -> None:
    def top(s: DataFrame) -> DataFrame:
        totals = s.groupBy("kind").agg(F.sum("weight").alias("weight"))
        return s.select("kind").distinct().join(totals, "kind").orderBy("weight").limit(10)

    check(gold_of(top), sales)
