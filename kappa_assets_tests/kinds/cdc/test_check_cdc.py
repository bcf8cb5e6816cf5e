"""Changes that cannot be merged are refused on Spark's plan, before any data flows, with the line and a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, cdc, silver
from kappa_assets.errors import LogicError
from kappa_assets.kinds.cdc.check import check_cdc
from kappa_assets.kinds.known_kinds import kind_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TOLD: dict[str, Any] = {"keys": ["id"], "sequence_by": ["lsn", "pos"], "delete_when": "op = 'd'", "scd": 2}
TAPE = "value string, _batch_id bigint, _row bigint, _arrived_at timestamp, _arrival_date date"


def customers(changes: DataFrame) -> DataFrame:
    number, text = F.get_json_object("value", "$.n").cast("bigint"), F.get_json_object("value", "$.t")
    return changes.select(
        text.alias("id"),
        text.alias("op"),
        text.alias("name"),
        number.alias("lsn"),
        number.alias("pos"),
        F.struct(number.alias("n")).alias("both"),
        number.cast("boolean").alias("flag"),
        *LINEAGE,
    )


def hidden(changes: DataFrame) -> DataFrame:
    return customers(changes).withColumnRenamed("name", "_valid_to").withColumnRenamed("flag", "_cdc_flag")


def last(changes: DataFrame) -> DataFrame:
    return customers(changes.groupBy("value", *LINEAGE).count())


@pytest.fixture
def tape(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], TAPE)


def test_a_table_has_the_columns_of_its_function_and_from_when_to_when_they_hold(tape: DataFrame) -> None:
    one, two = (silver(cdc=cdc(**TOLD | {"scd": scd}))(customers) for scd in (1, 2))
    own = [*customers(tape).columns]
    assert check_cdc(one, tape).rows.columns == own
    shown = check_cdc(two, tape).rows
    assert shown.columns == [*own, "_valid_from", "_valid_to", "_is_current"]
    assert shown.schema["_valid_to"].dataType.simpleString() == "struct<lsn:bigint,pos:bigint>"
    said = kind_of(two).explain(two, "bronze.changes", check_cdc(two, tape))
    assert "merged by id, ordered by lsn, pos" in said.batch
    assert "Rows that fail has_id, has_lsn, has_pos are set aside" in said.batch
    assert said.cheaper == ()
    nested = silver(cdc=cdc(**TOLD | {"keys": ["flag"]}))(customers)
    assert kind_of(nested).explain(nested, "bronze.changes", check_cdc(nested, tape)).cheaper


@pytest.mark.parametrize(
    ("options", "function", "text", "hint"),
    [
        ({"keys": ["no"]}, customers, "has 'no' in keys of cdc(), and gives no such column", "It has ['id',"),
        ({"sequence_by": "no"}, customers, "has 'no' in sequence_by of cdc()", "It has ['id',"),
        ({"track": ["no"]}, customers, "has 'no' in track of cdc()", "It has ['id',"),
        ({"keys": ["both"]}, customers, "has the key 'both', which is a struct<n:bigint>", "cast it to string"),
        ({"sequence_by": "both"}, customers, "orders its changes by 'both', which is a struct<n:bigint>", "numbers"),
        ({"sequence_by": "flag"}, customers, "orders its changes by 'flag', which is a boolean", "numbers"),
        ({"sequence_by": "_arrived_at"}, customers, "orders its changes by '_arrived_at'", "_batch_id and _row"),
        ({"delete_when": "gone"}, customers, "cannot tell delete_when of cdc(), 'gone'", "It has ['id',"),
        ({"truncate_when": "pos +"}, customers, "cannot tell truncate_when of cdc(), 'pos +'", "It has ['id',"),
        ({"delete_when": "lsn < rand()"}, customers, "uses rand()", "derive it from the row"),
        ({"delete_when": "lsn IN (SELECT 1)"}, customers, "reads rows in a subquery", "Gold"),
        ({}, hidden, "has a column named '_valid_to', a name that cdc() gives itself", "alias()"),
        ({"scd": 1}, hidden, "has a column named '_cdc_flag', a name that cdc() gives itself", "alias()"),
        ({}, last, "groups rows", "aggregate in a Gold"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    tape: DataFrame, options: dict[str, Any], function: Any, text: str, hint: str
) -> None:
    table = silver(cdc=cdc(**TOLD | options))(function)
    with pytest.raises(LogicError) as refused:
        check_cdc(table, tape)
    said = str(refused.value)
    assert said.startswith(f"{table.origin}: {table.name} ")
    assert text in said
    assert hint in said.partition("Hint:")[2]
