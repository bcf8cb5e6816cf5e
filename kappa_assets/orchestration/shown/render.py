"""What is known, rendered as Dagster shows it: tables, and the events of a replay's comparison."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from kappa_assets.names import TableName
from kappa_assets.orchestration.shown.comparison_picture import picture_of

if TYPE_CHECKING:
    from kappa_assets.replay import ReplayResult


COLUMNS, SLICES = "changed columns", "totals and slices"


def table_of(rows: Sequence[Any]) -> dg.TableMetadataValue:
    """Return rows as a table that the UI shows inline. Dagster's records hold plain values only."""
    plain = [{k: _plain(v) for k, v in row.items()} for row in rows]
    columns = list(dict.fromkeys(name for row in plain for name in row))
    records = [dg.TableRecord({name: row.get(name, "") for name in columns}) for row in plain]
    kinds = {n: _kind(r[n] for r in plain if n in r) for n in columns}
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(name, kinds[name]) for name in columns])
    )


def _plain(value: object) -> str | int | float | bool:
    if value is None:
        return ""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _kind(values: Iterator[Any]) -> str:
    kinds = {type(v) for v in values if v != ""}
    return "int" if kinds == {int} else "float" if kinds and kinds <= {int, float} else "string"


def compared_events(result: "ReplayResult") -> list[dg.AssetObservation]:
    """Return an event for each table of a replay: how it differs from the live one, with numbers that make a plot."""
    events, stored = [], result.comparison.facts()
    for row in stored["tables"]:
        numbers = {name: value for name, value in row.items() if value not in (None, "") and name != "table"}
        text = f"Replay {result.id}, compared with the live table: {verdict_of(result)}."
        parts = {part: _of_table(rows, row["table"]) for part, rows in parts_of(stored).items()}
        picture = picture_of(row, parts[SLICES], parts[COLUMNS])
        shown = {} if picture is None else {"picture": picture}
        facts = {"replay": result.id, **numbers, **shown, **tables_of(parts)}
        events.append(observed(TableName.parse(row["table"]), text, facts))
    return events


def verdict_of(result: "ReplayResult") -> str:
    """Return in a line what a comparison says: no fault found, or the faults."""
    return "no fault found" if result.comparison.ok else "; ".join(result.comparison.faults)


def parts_of(stored: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return what is shown beside the tables' own rows, by what people call it."""
    return {
        COLUMNS: stored["columns"],
        SLICES: stored["slices"],
        "differing rows": stored["sample"],
    }


def tables_of(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dg.TableMetadataValue]:
    """Return parts as tables by their names; empty ones are left out."""
    return {name: table_of(rows) for name, rows in parts.items() if rows}


def _of_table(rows: Sequence[Mapping[str, Any]], table: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "table"} for row in rows if row["table"] == table]


def observed(table: TableName, text: str, facts: Mapping[str, Any]) -> dg.AssetObservation:
    """Return an event of a table that was looked at: a text, and facts that the UI shows or plots."""
    return dg.AssetObservation(dg.AssetKey(table.key), description=text, metadata=dict(facts))
