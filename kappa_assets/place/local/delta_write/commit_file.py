"""A commit of our own making, put into the log if nobody else has put one there: with change files.

delta-rs commits files to add and to remove, and no change files (1.6.6: `create_write_transaction` takes no `cdc`
action): readers of the feed then get every row of the files that were exchanged. Drop when it takes such actions.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deltalake import Transaction
from deltalake.transaction import AddAction, RemoveAction

from kappa_assets.place.local.log_files import log_file


def put_commit(
    folder: Path,
    version: int,
    actions: Iterable[AddAction | RemoveAction],
    changed: Sequence[AddAction],
    note: str,
    transactions: Sequence[Transaction],
) -> None:
    """Commit as `version`, whole or not at all. Raises FileExistsError when that version is there already.

    The file gets its name by a link, which fails where there is one: so does delta-rs put a commit on a local disk.
    """
    path = log_file(folder, version)
    lines = _lines(actions, changed, note, transactions)
    fresh = path.with_name(f"_commit_{uuid.uuid4().hex}.json.tmp")
    try:
        # Letters as they are: delta-rs 1.6.6 reads an escaped U+1F600 as U+F600.
        said = (json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
        fresh.write_text("".join(said), encoding="utf-8")
        os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _lines(
    actions: Iterable[AddAction | RemoveAction],
    changed: Sequence[AddAction],
    note: str,
    transactions: Sequence[Transaction],
) -> Iterator[dict[str, Any]]:
    now = int(time.time() * 1000)
    yield {
        "commitInfo": {
            "timestamp": now,
            "operation": "WRITE",
            "operationParameters": {"mode": "Append"},
            "engineInfo": "kappa_assets",
            "userMetadata": note,
        }
    }
    for transaction in transactions:
        yield {"txn": {"appId": transaction.app_id, "version": transaction.version, "lastUpdated": now}}
    for action in actions:
        yield {"add": _added(action)} if isinstance(action, AddAction) else {"remove": _removed(action)}
    for action in changed:
        yield {"cdc": {**_file(action), "dataChange": False}}


def _added(action: AddAction) -> dict[str, Any]:
    return {
        **_file(action),
        "modificationTime": action.modification_time,
        "dataChange": action.data_change,
        "stats": action.stats,
    }


def _removed(action: RemoveAction) -> dict[str, Any]:
    return {
        **_file(action),
        "deletionTimestamp": action.deletion_timestamp,
        "dataChange": action.data_change,
        "extendedFileMetadata": True,
    }


def _file(action: AddAction | RemoveAction) -> dict[str, Any]:
    return {"path": action.path, "partitionValues": action.partition_values, "size": action.size}
