"""The retail example whole: what the feed drops is joined and summed up as DuckDB does it on the landed files."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from deltalake import DeltaTable

from kappa_assets.demo.feed import next_delivery
from kappa_assets.feed.customers import changes_file
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.names import TableName
from kappa_assets.pipelines.retail import pipeline
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

ORACLE = """
WITH lines AS (
    SELECT regexp_replace(trim(CustomerID), '\\.0$', '') AS who, try_cast(Quantity AS INTEGER) AS units,
           CAST(try_cast(Quantity AS INTEGER) * try_cast(UnitPrice AS DECIMAL(12, 4)) AS DECIMAL(18, 4)) AS amount,
           CAST(InvoiceDate AS TIMESTAMP) AS sold_at, row_number() OVER () AS line
    FROM read_csv('{invoices}', all_varchar = true, header = true)
    WHERE trim(coalesce(CustomerID, '')) <> '' AND try_cast(UnitPrice AS DECIMAL(12, 4)) >= 0
), told AS (
    SELECT json(line) AS told FROM read_csv('{changes}', columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '',
                                            escape = '', header = false)
), changes AS (
    SELECT coalesce(told->>'$.after.id', told->>'$.before.id') AS who, told->>'$.after.segment' AS segment,
           make_timestamp(CAST(told->>'$.source.ts_us' AS BIGINT)) AS changed_at
    FROM told
), priced AS (
    SELECT line, any_value(amount) AS amount, any_value(units) AS units,
           arg_max({{'segment': segment}}, changed_at).segment AS segment
    FROM lines LEFT JOIN changes ON lines.who = changes.who AND changed_at <= sold_at GROUP BY line
)
SELECT segment, sum(amount) AS revenue, sum(units) AS units, count(*) AS lines FROM priced GROUP BY segment
"""

LATE = """
WITH told AS (
    SELECT json(line) AS told, CAST(regexp_extract(filename, '\\d{{4}}-\\d\\d-\\d\\d') AS DATE) AS arrived
    FROM read_csv('{changes}', columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', header = false,
                  filename = true)
)
SELECT count(*) FROM told WHERE make_timestamp(CAST(told->>'$.source.ts_us' AS BIGINT)) < arrived - INTERVAL 1 DAY
"""


@pytest.mark.slow
def test_segment_revenue_is_what_duckdb_makes_of_the_landed_files(spark: SparkSession, tmp_path: Path) -> None:
    landing, lake = tmp_path / "landing", Lake.at(tmp_path / "lake")
    for deliveries in (2, 2):
        for _ in range(deliveries):
            assert next_delivery(landing, now=dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC)) is not None
        Host(Setting(spark, lake, landing), pipeline).drain()
        assert held(lake, "gold.segment_revenue") == expected(landing)
    assert {segment for segment, *_ in expected(landing)} == {None, "home", "wholesale", "business"}
    notes = [commit.note for commit in commits(lake.folder(TableName.parse("silver.customers")))]
    late = sum(note.judged.get("late", 0) for note in notes if note is not None)
    assert [(late,)] == duckdb.execute(LATE.format(changes=f"{landing}/customer_changes/*.json")).fetchall()
    assert late > 0


def held(lake: Lake, table: str) -> list[tuple[Any, ...]]:
    rows = DeltaTable(lake.link(TableName.parse(table)).resolve()).to_pyarrow_table().to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def expected(landing: Path) -> list[tuple[Any, ...]]:
    query = ORACLE.format(invoices=f"{landing}/invoices/*.csv.gz", changes=f"{landing}/customer_changes/*.json")
    return sorted(duckdb.execute(query).fetchall(), key=repr)


def test_the_changes_that_come_with_a_file_are_the_same_each_time_and_some_come_late() -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    lines = "".join(f"1,A,a,1,2026-11-20 10:{n % 60:02}:00,1.0,{17000 + n},Kenya\n" for n in range(240))
    invoices = (header + lines + "2,A,a,1,2026-11-20 09:00:00,1.0,,Kenya\n").encode()
    made = changes_file("a.csv", invoices)
    assert made == changes_file("a.csv", invoices) != changes_file("b.csv", invoices)
    told = [json.loads(row) for row in made.decode().splitlines()]
    changed = [str(dt.datetime.fromtimestamp(one["source"]["ts_us"] / 1e6, dt.UTC)) for one in told]
    assert 40 < len(told) < 200
    assert min(changed) < "2026-11-20" <= max(changed)
    assert {one["op"] for one in told} == {"u", "d"}
    assert {(one["after"] or one["before"])["id"] for one in told} <= {str(17000 + n) for n in range(240)}
