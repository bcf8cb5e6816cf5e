"""`kappa schema` shows how a table's columns changed, within a generation and from one to the next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable, Schema, write_deltalake

from kappa_assets.cli import main
from kappa_assets.log.schema_history import difference, schema_history
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry, events
from kappa_assets_tests.written_logs import CLICKS, VISITS

if TYPE_CHECKING:
    from pathlib import Path

    from kappa_assets.names import TableName

LINES = pa.list_(pa.struct([("no", pa.int64())]))


@pytest.fixture
def lake(lake_path: Path) -> Lake:
    """Generation 1 of a Silver, which got a column and a field inside of one, and generation 2, a held candidate."""
    made = Lake.at(lake_path)
    say(made, events.generation_created(VISITS, 1, "logic"), events.release_created(1, {VISITS: 1}, "first"))
    first = write(made, VISITS, 1, id=pa.int32(), name=pa.string(), lines=LINES)
    first.alter.add_columns(list(Schema.from_arrow(pa.schema([("price", pa.decimal128(9, 2))])).fields))
    wider = pa.list_(pa.struct([("no", pa.int64()), ("sku", pa.string())]))
    DeltaTable(first.table_uri).alter.add_columns(list(Schema.from_arrow(pa.schema([("lines", wider)])).fields))
    again = events.generation_created(VISITS, 2, "better", replay="r1")
    say(
        made,
        again,
        events.replay_started("r1", candidates={VISITS: 2}, plan={}, live={VISITS: 1}),
        events.replay_held("r1"),
    )
    write(made, VISITS, 2, id=pa.int64(), title=pa.string(), lines=wider)
    return made


def say(lake: Lake, *said: Any) -> None:
    registry = Registry(lake)
    registry.commit(registry.state(), said)


def write(lake: Lake, table: TableName, generation: int, **columns: pa.DataType) -> DeltaTable:
    """Write an empty table, with a commit after it that changes no column."""
    folder, rows = lake.folder(table, generation), pa.schema(list(columns.items())).empty_table()
    write_deltalake(folder, rows)
    write_deltalake(folder, rows, mode="append")
    return DeltaTable(folder)


def asked(lake: Lake, *arguments: str) -> Result:
    places = ["--lake", str(lake.root), "--pipeline", "kappa_assets_tests.written_logs"]
    return CliRunner().invoke(main, ["schema", *arguments, *places])


def test_each_change_is_told_with_the_generation_and_the_version_that_made_it(lake: Lake) -> None:
    rows: list[dict[str, Any]] = json.loads(asked(lake, "silver.visits", "--json").stdout)
    assert [(row["generation"], row["state"], row["code_version"], row["version"], row["change"]) for row in rows] == [
        (1, "live", "logic", 0, "+ id int, + name string, + lines array, + lines[] struct, + lines[].no bigint"),
        (1, "live", "logic", 2, "+ price decimal(9,2)"),
        (1, "live", "logic", 3, "+ lines[].sku string"),
        (2, "candidate", "better", 0, "- name string, - price decimal(9,2), id int -> bigint, + title string"),
    ]
    assert rows[-1]["columns"]["title"] == "string"
    assert "- name string" in asked(lake, "silver.visits").stdout


def test_a_log_that_was_cleaned_begins_where_it_can_be_read(lake: Lake) -> None:
    table = DeltaTable(lake.folder(VISITS, 1))
    table.create_checkpoint()
    for commit in sorted((lake.folder(VISITS, 1) / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()
    (found,) = schema_history(lake.table(VISITS, 1))
    assert (found.version, found.columns["lines[].sku"], found.columns["price"]) == (3, "string", "decimal(9,2)")
    assert schema_history(lake.table(VISITS, 9)) == []


def test_a_tape_has_one_generation_without_logic(lake: Lake) -> None:
    write(lake, CLICKS, 1, value=pa.string(), tags=pa.map_(pa.string(), pa.struct([("n", pa.int16())])))
    (row,) = json.loads(asked(lake, "bronze.clicks", "--json").stdout)
    told = "+ value string, + tags map, + tags{} struct, + tags{}.n smallint"
    assert (row["generation"], row["change"]) == (1, told)
    assert "code_version" not in row


def test_a_table_that_was_not_written_is_told_so(lake: Lake) -> None:
    refused = asked(lake, "gold.pages")
    assert refused.exit_code == 1
    assert "gold.pages has not been written yet" in refused.stderr


def test_nothing_that_changed_is_nothing() -> None:
    assert difference({"a": "int"}, {"a": "int"}) == ""
