"""The files that a table consists of, as its log tells them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from kappa_assets.errors import LakeError
from kappa_assets.place.held import held


def held_files(table: DeltaTable) -> list[Any]:
    """Return the files of a table as it was opened, as `held` does."""
    return held(pa.table(table.get_add_actions(flatten=True)))


def removable(table: DeltaTable) -> dict[str, Any]:
    """Return by path what `removal` needs of each file of a table as it was opened."""
    actions = pa.table(table.get_add_actions())
    wanted = [name for name in ("path", "size_bytes", "partition") if name in actions.column_names]
    return {action["path"]: action for action in actions.select(wanted).to_pylist()}


def removal(held: Mapping[str, Any], *, data_change: bool = True) -> RemoveAction:
    """Return the removal of a file. Size and partition are what a reader of the change feed needs of it."""
    values = {name: None if value is None else str(value) for name, value in (held.get("partition") or {}).items()}
    return RemoveAction(
        held["path"], data_change, int(time.time() * 1000), size=held["size_bytes"], partition_values=values
    )


def check_still_there(name: str, folder: Path, actions: Sequence[AddAction | RemoveAction]) -> None:
    """Raise LakeError when a file to add is gone: this process slept for longer than upkeep leaves such files.

    Upkeep removes files in the table's turn, so what is there now is there after the commit.
    """
    added = [action.path for action in actions if isinstance(action, AddAction)]
    gone = [path for path in added if not ((folder / path).exists() or (folder / unquote(path)).exists())]
    if gone:
        raise LakeError(
            f"{len(gone)} of {len(added)} files that were written for {name} are gone, such as {gone[0]!r}",
            hint="Nothing was committed; the batch is done again. Maintenance takes what nobody commits for days.",
        )
