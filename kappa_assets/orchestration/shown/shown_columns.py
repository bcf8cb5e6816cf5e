"""A table's columns as Dagster shows them, read from its Delta log."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from deltalake.exceptions import DeltaError

from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT, BATCH_ID, INGESTED_AT, ROW, SOURCE
from kappa_assets.log.schema_history import SQL_NAMES
from kappa_assets.place.port import StoredTable

_OURS = {
    SOURCE: "where the row came from: file, bytes, modification time; or partition, offset, timestamp, key, headers",
    BATCH_ID: "position on the tape of the commit that brought the row",
    ROW: "the row's number in its commit: with _batch_id its address",
    INGESTED_AT: "when it was put on the tape, UTC",
    ARRIVED_AT: "when the source had it, UTC",
    ARRIVAL_DATE: "its slice: the UTC day it arrived",
}


def columns_of(table: StoredTable, told: Mapping[str, str]) -> dg.TableSchema | None:
    """Return the columns of a Delta table, with what is told of each, or None when there is no table yet."""
    try:
        newest = table.newest()
        if newest is None:
            return None
        fields = table.columns(newest)
    except (DeltaError, OSError):
        return None
    texts = {**_OURS, **told}
    return dg.TableSchema(
        columns=[dg.TableColumn(f.name, _name(f.type.to_json()), description=texts.get(f.name)) for f in fields]
    )


def _name(kind: str) -> str:
    """Return a Delta type as SQL writes it: `bigint`, `decimal(12,4)`, `struct` for the nested ones."""
    text = kind.strip('"')
    if text.startswith("{"):
        return next(k for k in ("struct", "array", "map") if f'"{k}"' in text)
    return SQL_NAMES.get(text, text)
