"""Files of one table that another one holds too: a second name of the same file, or a copy where there are no links."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from deltalake.transaction import AddAction

from kappa_assets.place.change import Adopted
from kappa_assets.place.local.delta_write.file_stats import file_stats
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles
from kappa_assets.place.local.stored_table import folder_of


def linked_files(adopted: Adopted, target: Path) -> WrittenFiles:
    """Give files of another table a second name below the folder `target`, and return them, ready to commit."""
    source = folder_of(adopted.table)
    actions = tuple(linked_file(source / file.path, target, file.partition) for file in adopted.files)
    rows = sum(int(json.loads(action.stats)["numRecords"]) for action in actions)
    return WrittenFiles(actions, rows, sum(action.size for action in actions))


def linked_file(source: Path, target: Path, partition: Mapping[str, str]) -> AddAction:
    """Give a file a second name below the folder `target`; on a file system without links, copy it.

    A Parquet file is never changed, and lives until its last name is removed: either table may be removed first.
    """
    below = "/".join(["data", uuid.uuid4().hex, *(f"{name}={value}" for name, value in partition.items())])
    path = f"{below}/{source.name}"
    (target / path).parent.mkdir(parents=True)
    try:
        os.link(source, target / path)
    except OSError:
        shutil.copyfile(source, target / path)
    stat = (target / path).stat()
    _, stats = file_stats(target / path)
    return AddAction(path, stat.st_size, dict(partition), int(stat.st_mtime * 1000), True, stats)
