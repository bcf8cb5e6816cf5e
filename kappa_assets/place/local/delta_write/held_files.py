"""The files that a table consists of, as its log tells them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import RemoveAction

_BOUNDS = ("min.", "max.")


def held_files(table: DeltaTable) -> list[Any]:
    """Return path, size_bytes, modification_time, num_records, partition.<column> and the bounds of whole numbers.

    `min.<column>` and `max.<column>` of other types are left out: Python has no equal of some, such as days of year 0,
    of which Spark writes bounds when it rewrites a file.
    """
    actions = pa.table(table.get_add_actions(flatten=True))
    wanted = [n for n, f in enumerate(actions.schema) if not f.name.startswith(_BOUNDS) or pa.types.is_integer(f.type)]
    found: list[Any] = actions.select(wanted).to_pylist()
    return found


def removal(held: Mapping[str, Any], *, data_change: bool = True) -> RemoveAction:
    """Return the removal of a file. Size and partition are what a reader of the change feed needs of it."""
    values = {name: None if value is None else str(value) for name, value in (held["partition"] or {}).items()}
    return RemoveAction(
        held["path"], data_change, int(time.time() * 1000), size=held["size_bytes"], partition_values=values
    )
