"""Envelopes as Debezium writes them, with and without the wrapper, and what a table by cdc makes of them."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from kappa_assets import LINEAGE, cdc, debezium, silver
from kappa_assets.kinds.cdc.check import check_cdc
from kappa_assets.kinds.cdc.merging import marked, merged, shown

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NOW = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
TAPE = "value string, _batch_id bigint, _row bigint, _arrived_at timestamp, _arrival_date date"
SCHEMA = "id bigint, `full name` string, tags array<string>"


def envelope(op: str, lsn: int, *, before: Any = None, after: Any = None, wrapped: bool = False) -> str:
    """Return what the connector for Postgres writes of one change."""
    told = {
        "before": before,
        "after": after,
        "source": {"version": "3.0.0.Final", "name": "shop", "ts_ms": 1_767_600_000_000 + lsn, "lsn": lsn},
        "op": op,
        "ts_ms": 1_767_600_000_999,
        "transaction": None,
    }
    return json.dumps({"schema": {"type": "struct", "fields": []}, "payload": told} if wrapped else told)


def tape(spark: SparkSession, *values: str | None) -> DataFrame:
    return spark.createDataFrame([(v, 0, n, NOW, NOW.date()) for n, v in enumerate(values)], TAPE)


def customers(customer_changes: DataFrame) -> DataFrame:
    told = debezium.changes(customer_changes, SCHEMA, source="lsn bigint, ts_ms bigint")
    return told.withColumnRenamed("full name", "name")


def person(number: int, name: str | None, *tags: str) -> dict[str, Any]:
    return {"id": number, "full name": name, "tags": list(tags)}


VALUES = (
    envelope("r", 1, after=person(1, "Ada", "a")),
    envelope("r", 1, after=person(2, "Bob"), wrapped=True),
    envelope("c", 3, after=person(3, "Cy"), wrapped=True),
    envelope("d", 5, before={"id": 2}, wrapped=True),  # of the row that was, the key alone, as Postgres tells it
    None,  # its tombstone
    envelope("u", 4, before=person(1, "Ada"), after=person(1, "Adele", "a", "b")),
    envelope("d", 6, before=person(3, "Cy")),  # its key changes: it goes,
    "null",
    envelope("c", 6, after=person(4, "Cy")),  # and comes
    envelope("t", 7),
    envelope("c", 8, after=person(5, "Eve")),
    "{ no JSON",
    envelope("u", 9, after={"id": "five", "full name": "Eve"}),
    envelope("u", 9, after={"id": 5, "full name": "Eve", "tags": "none"}, wrapped=True),
)


def test_an_envelope_gives_a_row_of_its_image_its_op_and_its_place_in_the_log(spark: SparkSession) -> None:
    rows = customers(tape(spark, *VALUES))
    assert rows.columns == ["id", "name", "tags", "_op", "_source_lsn", "_source_ts_ms", *LINEAGE]
    assert rows.schema["tags"].dataType.simpleString() == "array<string>"
    found = [(r["_row"], r["_op"], r["id"], r["name"], r["tags"], r["_source_lsn"]) for r in rows.collect()]
    assert found == [
        (0, "r", 1, "Ada", ["a"], 1),
        (1, "r", 2, "Bob", [], 1),
        (2, "c", 3, "Cy", [], 3),
        (3, "d", 2, None, None, 5),
        (5, "u", 1, "Adele", ["a", "b"], 4),
        (6, "d", 3, "Cy", [], 6),
        (8, "c", 4, "Cy", [], 6),
        (9, "t", None, None, None, 7),
        (10, "c", 5, "Eve", [], 8),
        (11, None, None, None, None, None),
        (12, None, None, None, None, None),
        (13, None, None, None, None, None),
    ]


def test_a_table_of_envelopes_holds_what_the_source_held(spark: SparkSession) -> None:
    declared = cdc(keys=["id"], sequence_by="_source_lsn", delete_when="_op = 'd'", truncate_when="_op = 't'", scd=2)
    check_cdc(silver(cdc=declared)(customers), tape(spark))
    good = customers(tape(spark, *VALUES[:11]))
    versions = shown(declared, merged(declared, marked(declared, good))).orderBy("id", "_valid_from").collect()
    assert [(r["id"], r["name"], r["_valid_from"], r["_valid_to"]) for r in versions] == [
        (1, "Ada", 1, 4),
        (1, "Adele", 4, 7),
        (2, "Bob", 1, 5),
        (3, "Cy", 3, 6),
        (4, "Cy", 6, 7),
        (5, "Eve", 8, None),
    ]
