"""Delta itself removes nothing of a log: tables say so from the start, those of earlier versions from the next on."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType
from pyspark.sql.types import LongType, StructField, StructType

from kappa_assets.log.delta_log import read_commit
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake

SALES = TableName.parse("silver.sales")
SCHEMA = StructType([StructField("n", LongType())])
LONG = ("delta.logRetentionDuration", "interval 36500 days")


def test_a_new_table_keeps_its_log_until_the_gate_says_otherwise(lake_path: Path) -> None:
    table = Lake.at(lake_path).table(SALES)
    table.open(properties={"delta.enableChangeDataFeed": "true"}).prepare(SCHEMA)
    assert LONG in DeltaTable(table.folder).metadata().configuration.items()
    table.open().prepare(SCHEMA)
    assert table.newest() == 0


def test_a_table_of_an_earlier_version_is_told_once_and_keeps_what_else_it_says(lake_path: Path) -> None:
    table = Lake.at(lake_path).table(SALES)
    told = {"delta.enableChangeDataFeed": "true"}
    DeltaTable.create(str(table.folder), Schema([Field("n", PrimitiveType("long"))]), configuration=dict(told))
    writer = table.open()
    for _ in range(2):
        writer.prepare(SCHEMA)
    assert DeltaTable(table.folder).metadata().configuration == {**told, LONG[0]: LONG[1]}
    assert table.newest() == writer.version() == 1
    commit = read_commit(table, 1)
    assert (commit.adds_data, commit.removes_data, commit.note) == (False, False, None)


def test_a_table_of_an_earlier_version_is_told_how_its_files_are_ordered(lake_path: Path) -> None:
    table = Lake.at(lake_path).table(SALES)
    table.open().prepare(SCHEMA)
    for _ in range(2):
        table.open(ordered_by=("n",)).prepare(SCHEMA)
    assert DeltaTable(table.folder).metadata().configuration["kappa.orderedBy"] == "n"
    assert table.newest() == 1
