"""The version checksum file (`<version>.crc` of the Delta protocol), so that Spark need not rebuild a table's state.

Without it every reader in Spark starts a job to find the table's protocol and schema: a live stream's look for new data
took 280 ms instead of 30.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles
from kappa_assets.place.local.log_files import checksum_file, log_file, log_folder, read_actions

_KEPT = 40
"""Checksums kept: readers want the newest. All of them would double the log's folder, which every look for new data
lists, by Spark and by delta-rs."""


@dataclass(frozen=True)
class Totals:
    """Files and bytes of a table at one version."""

    version: int
    files: int
    bytes: int


class VersionChecksums:
    """Writes the checksum of each version that we commit to one table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scanned = -1
        self._protocol: Mapping[str, Any] | None = None
        self._metadata: Mapping[str, Any] | None = None
        self._totals: Totals | None = None

    def write(self, table: DeltaTable, files: WrittenFiles, *, replace: bool) -> None:
        """Write the checksum of the version just committed. It is optional: a log that was cleaned gets none.

        Transaction ids are left out, which means "not known here": readers then take them from the log.
        """
        version = table.version()
        self._totals = self._add(table, version, files, replace=replace)
        self._scan(version)
        if self._protocol is None or self._metadata is None:
            return
        body = {
            "tableSizeBytes": self._totals.bytes,
            "numFiles": self._totals.files,
            "numMetadata": 1,
            "numProtocol": 1,
            "metadata": self._metadata,
            "protocol": self._protocol,
        }
        path = checksum_file(self._folder, version)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(body, separators=(",", ":")))
        fresh.replace(path)
        checksum_file(self._folder, version - _KEPT).unlink(missing_ok=True)

    def forget(self) -> None:
        """Count the table's files anew at the next commit: it did more than add."""
        self._totals = None

    def _add(self, table: DeltaTable, version: int, files: WrittenFiles, *, replace: bool) -> Totals:
        before = self._totals
        if replace:
            return Totals(version, len(files.actions), files.bytes)
        if before is not None and before.version == version - 1:
            return Totals(version, before.files + len(files.actions), before.bytes + files.bytes)
        actions = pa.table(table.get_add_actions())
        return Totals(version, actions.num_rows, sum(actions.column("size_bytes").to_pylist()))

    def _scan(self, version: int) -> None:
        """Find the newest protocol and metadata in the commits not looked at yet."""
        if self._scanned < 0:
            self._begin_at_newest_checksum(version)
        for number in range(self._scanned + 1, version + 1):
            try:
                actions = read_actions(log_file(self._folder, number))
            except FileNotFoundError:
                continue
            for action in actions:
                self._protocol = action.get("protocol", self._protocol)
                self._metadata = action.get("metaData", self._metadata)
        self._scanned = version

    def _begin_at_newest_checksum(self, version: int) -> None:
        """Take protocol and metadata from the newest checksum: a long log takes long, and a cleaned one lacks them."""
        found = [
            int(p.stem) for p in log_folder(self._folder).glob("*.crc") if p.stem.isdigit() and int(p.stem) <= version
        ]
        if not found:
            return
        try:
            body = json.loads(checksum_file(self._folder, max(found)).read_text())
            self._protocol, self._metadata, self._scanned = body["protocol"], body["metadata"], max(found)
        except (OSError, ValueError, KeyError):  # of another writer, or cleaned just now
            return
