"""How the columns of a table came about: those its log begins with, and what each later version changed of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kappa_assets.place.port import StoredTable

SQL_NAMES = {"byte": "tinyint", "short": "smallint", "integer": "int", "long": "bigint"}
"""What SQL calls the types of which Delta's log has another name."""
Columns = Mapping[str, str]
"""Types as SQL writes them, by column; a field inside is `column.field`, `column[].field` and `column{}.field` where it
is in the elements of an array or in the values of a map."""


@dataclass(frozen=True)
class SchemaVersion:
    """The columns that a table has from a version on."""

    version: int
    at: dt.datetime
    columns: Columns


def schema_history(table: StoredTable) -> list[SchemaVersion]:
    """Return the columns at the first version that the log tells, and at each that changed them; none without a table.

    A table whose log was cleaned begins with the version from which on it can be read.
    """
    found: list[SchemaVersion] = []
    for version in table.versions():
        metadata = next((action["metaData"] for action in table.actions(version) if "metaData" in action), None)
        if metadata is not None:
            columns = _columns(json.loads(metadata["schemaString"]))
        elif not found:
            columns = _columns({"fields": [json.loads(field.to_json()) for field in table.columns(version)]})
        else:
            continue
        if not found or found[-1].columns != columns:
            found.append(
                SchemaVersion(version, dt.datetime.fromtimestamp(table.committed_at(version), dt.UTC), columns)
            )
    return found


def difference(before: Columns, after: Columns) -> str:
    """Return in a line what changed: `+ price bigint`, `- name string`, `id int -> bigint`; empty where nothing did."""
    gone = [f"- {name} {kind}" for name, kind in before.items() if name not in after]
    come = [f"+ {name} {kind}" for name, kind in after.items() if name not in before]
    both = [f"{name} {before[name]} -> {kind}" for name, kind in after.items() if before.get(name, kind) != kind]
    return ", ".join([*gone, *both, *come])


def _columns(struct: Mapping[str, Any]) -> Columns:
    return {name: kind for field in struct["fields"] for name, kind in _fields(field["name"], field["type"])}


def _fields(path: str, kind: Any) -> Iterator[tuple[str, str]]:
    """Yield a column and the fields inside of it, with their types as Delta's log has them."""
    if isinstance(kind, str):
        yield path, SQL_NAMES.get(kind, kind)
        return
    yield path, str(kind["type"])
    match kind["type"]:
        case "struct":
            for field in kind["fields"]:
                yield from _fields(f"{path}.{field['name']}", field["type"])
        case "array":
            yield from _fields(f"{path}[]", kind["elementType"])
        case "map":
            yield from _fields(f"{path}{{}}", kind["valueType"])
