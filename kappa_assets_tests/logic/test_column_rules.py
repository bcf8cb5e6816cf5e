"""Columns that cannot be kept are refused before any data flows, by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, expect, late
from kappa_assets_tests.logic.declared_logic import check, gold_of, refusal, silver_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

UNKEPT = {
    "NULL": r"column 'x' of type void, which cannot be kept\nHint: .*F.lit\(None\).cast\('string'\)",
    "array()": r"column 'x'\[\] of type void",
    "map()": r"column 'x' \(its keys\) of type void",
    "map('k', NULL)": r"column 'x' \(its values\) of type void",
    "named_struct('in', array(named_struct('deep', NULL)))": r"column 'x'.in\[\].deep of type void",
    "struct()": r"column 'x', a struct without fields",
    "INTERVAL '1' DAY": r"column 'x' of type interval day, which Delta does not take\nHint: Cast it",
    "INTERVAL '1' MONTH": "column 'x' of type interval month",
    "make_interval(1)": "column 'x' of type interval,",
    "TIME'09:15:00'": r"column 'x' of type time\(6\)",
    "'a' COLLATE UTF8_LCASE": "column 'x' of type string collate UTF8_LCASE",
    "st_geogfromwkb(X'0101000000000000000000F03F0000000000000040')": "column 'x' of type geography",
}


@pytest.mark.parametrize(("column", "message"), UNKEPT.items(), ids=UNKEPT)
def test_a_column_of_a_type_that_cannot_be_kept_is_refused(column: str, message: str, tape: DataFrame) -> None:
    found = refusal(silver_of(lambda t: t.select(F.expr(column).alias("x"), *LINEAGE)), tape)
    assert_matches(message, found)


def test_a_gold_is_held_to_the_same_types(tape: DataFrame) -> None:
    found = refusal(gold_of(lambda t: t.groupBy("kind").agg(F.lit(None).alias("x")), keys=["kind"]), tape)
    assert_matches("column 'x' of type void", found)


def test_every_type_that_can_be_kept_is_taken(tape: DataFrame) -> None:
    kept = [
        "X'00'",
        "true",
        "1Y",
        "1S",
        "1L",
        "1.5F",
        "1.5D",
        "CAST(1 AS DECIMAL(38, 38))",
        "CAST('a' AS CHAR(3))",
        "CAST('a' AS VARCHAR(3))",
        "DATE'2026-01-05'",
        "TIMESTAMP'2026-01-05 00:00:00'",
        "TIMESTAMP_NTZ'2026-01-05 00:00:00'",
        "parse_json('1')",
        "array(map('k', named_struct('x', CAST(NULL AS STRING))))",
    ]
    columns = [F.expr(column).alias(f"x{n}") for n, column in enumerate(kept)]
    assert len(check(silver_of(lambda t: t.select(*columns, *LINEAGE)), tape).columns) == len(kept) + len(LINEAGE)


@pytest.mark.parametrize("name", ["_change_type", "_commit_version", "_COMMIT_TIMESTAMP"])
def test_a_name_of_the_change_feed_is_refused_in_a_silver_alone(name: str, tape: DataFrame) -> None:
    found = refusal(silver_of(lambda t: t.select(F.col("value").alias(name), *LINEAGE)), tape)
    assert_matches(rf"column named '{name}', a name of the change feed .*\nHint: Name it with alias\(\)", found)
    check(gold_of(lambda t: t.groupBy("kind").agg(F.max("value").alias(name)), keys=["kind"]), tape)


JUDGED: dict[str, Any] = {"expect": [expect("is_long", "_row > 9")], "late": late("_arrived_at", after="1 day")}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "expect") for name in ("_rejected", "_Meets_is_long", "_Judged_given", "_fails_0")),
        *((name, "late") for name in ("_Rejected", "_judged_late", "_fails_0")),
    ],
)
def test_a_name_that_judging_needs_is_refused_where_rows_are_judged(name: str, option: str, tape: DataFrame) -> None:
    def logic(t: DataFrame) -> DataFrame:
        return t.select(F.col("value").alias(name), *LINEAGE)

    check(silver_of(logic), tape)
    found = refusal(silver_of(logic, **{option: JUDGED[option]}), tape)
    assert_matches(f"column named '{name}'", found)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("sold_at", r"tells late rows by 'sold_at', which is no column of its output\nHint: It has \['value'"),
        ("value", r"tells late rows by 'value', which is of type string\nHint: It must be a timestamp or a date"),
    ],
)
def test_a_time_of_the_event_that_is_none_is_refused(column: str, message: str, tape: DataFrame) -> None:
    def logic(t: DataFrame) -> DataFrame:
        times = ["_arrived_at AS at", "_arrival_date AS day", "CAST(_arrived_at AS timestamp_ntz) AS local"]
        return t.selectExpr("value", *times, *LINEAGE)

    assert_matches(message, refusal(silver_of(logic, late=late(column, after="1 day")), tape))
    for kept in ("at", "day", "local"):
        check(silver_of(logic, late=late(kept, after="1 day")), tape)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("event_id", r"is unique by 'event_id', which is no column of its output\nHint: It has \['value'"),
        ("Value", "is unique by 'Value', which is no column of its output"),
        ("tags", r"is unique by 'tags', which is of type array<map<string,int>>\nHint: Rows cannot be grouped by it"),
        ("body", "is unique by 'body', which is of type variant"),
    ],
)
def test_what_rows_cannot_be_one_by_is_refused(column: str, message: str, tape: DataFrame) -> None:
    def logic(t: DataFrame) -> DataFrame:
        odd = ["array(map('k', 1)) AS tags", "parse_json('1') AS body", "array(named_struct('x', 1.5D)) AS parts"]
        return t.selectExpr("value", *odd, *LINEAGE)

    assert_matches(message, refusal(silver_of(logic, unique=[column]), tape))
    check(silver_of(logic, unique=["value", "parts", "_arrival_date"], unique_within="1 day"), tape)


def test_a_column_with_a_dot_beside_a_struct_with_such_a_field_is_refused(tape: DataFrame) -> None:
    """The Parquet reader of Spark knows both by one name, and skipped rows by the dictionary of the other."""
    struct, dotted = F.expr("named_struct('b', 1) AS a"), F.lit(1).alias("a.b")
    assert_matches("column named 'a.b'", refusal(silver_of(lambda t: t.select(struct, dotted, *LINEAGE)), tape))
    check(silver_of(lambda t: t.select(struct, F.lit(1).alias("a.c"), *LINEAGE)), tape)


@pytest.mark.parametrize("name", ["a b", "a,b", "a;b", "a{b", "a(b)", "a\nb", "a\tb", "a=b"])
def test_a_name_that_delta_does_not_take_is_refused(name: str, tape: DataFrame) -> None:
    found = refusal(silver_of(lambda t: t.select(F.col("value").alias(name), *LINEAGE)), tape)
    assert "which Delta does not take\nHint: Name it with alias()." in found


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text
