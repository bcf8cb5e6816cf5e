"""One Delta table in a folder, as the port has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kappa_assets.errors import LakeError
from kappa_assets.names import Layer
from kappa_assets.place.local import log_files
from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.port import StoredTable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from kappa_assets.place.change import Groups, Scan
    from kappa_assets.place.local.local_table import LocalTable
    from kappa_assets.place.local.upkeep.local_upkeep import LocalUpkeep

Where = StoredTable | Path
"""A table, or the folder in which one lies."""
_BESIDE = {"rejects": "the rows set aside of ", "state": "the state of "}
_NUMBERED = re.compile(r"g\d{4,}")


def table_called(folder: Path) -> str:
    """Return what people call the table that lies in `folder`: `bronze.invoices`, `silver.sales g1`; else the path."""
    table, generation = folder, ""
    if _NUMBERED.fullmatch(folder.name):
        table, generation = folder.parent, f" g{int(folder.name[1:])}"
    if table.parent.name not in set(Layer):
        return repr(str(folder))
    side = _BESIDE.get(table.parent.parent.name, "")
    return f"{side}{table.parent.name}.{table.name}{generation}"


@dataclass(frozen=True)
class LocalStoredTable:
    """The table in `folder`. Two are one table when they lie in one folder, whatever they are called."""

    folder: Path
    name: str = field(default="", compare=False)

    @property
    def called(self) -> str:
        return table_called(self.folder)

    @property
    def location(self) -> str:
        return str(self.folder)

    @property
    def uri(self) -> str:
        return self.folder.as_uri()

    def newest(self, known: int | None = None) -> int | None:
        return log_files.newest_from(self.folder, known)

    def versions(self) -> list[int]:
        return log_files.versions(self.folder)

    def has(self, version: int) -> bool:
        return log_files.log_file(self.folder, version).exists()

    def identity(self, version: int) -> tuple[int, int] | None:
        return log_files.identity_of(self.folder, version)

    def actions(self, version: int) -> list[dict[str, Any]]:
        return log_files.read_actions(log_files.log_file(self.folder, version))

    def committed_at(self, version: int) -> float:
        return log_files.committed_at(self.folder, version)

    def read(self, spark: SparkSession, version: int, *, pruned: bool = False) -> DataFrame:
        from kappa_assets.place.local.pinned import read_at

        return read_at(spark, self.folder, version, pruned=pruned)

    def scan(self, spark: SparkSession, version: int, groups: Groups | None = None) -> tuple[DataFrame, Scan | None]:
        from kappa_assets.place.local.pinned import scan_at

        return scan_at(spark, self.folder, version, groups)

    def changes(self, spark: SparkSession, *, feed: bool, limits: Mapping[str, str]) -> DataFrame:
        reader = spark.readStream.format("delta").options(**limits)
        return (reader.option("readChangeFeed", "true") if feed else reader).load(str(self.folder))

    def changes_between(self, spark: SparkSession, after: int, upto: int) -> DataFrame | None:
        if upto <= after:
            return None
        reader = spark.read.format("delta").option("readChangeFeed", "true")
        return reader.option("startingVersion", after + 1).option("endingVersion", upto).load(str(self.folder))

    def read_files(self, spark: SparkSession, paths: Sequence[str], schema: StructType) -> DataFrame:
        from kappa_assets.place.local.spark_paths import literal_path

        full = [literal_path(self.folder / path) for path in paths]
        return spark.read.schema(schema).option("recursiveFileLookup", "true").parquet(*full)

    def files(self, version: int) -> pa.Table:
        import pyarrow as pa

        return pa.table(self._at(version).get_add_actions(flatten=True))

    def gone(self, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if not (self.folder / path).exists()]

    def sample(self, path: str, limit: int) -> pa.Table:
        from kappa_assets.place.local.first_rows import rows_of_file

        return rows_of_file(self.folder / unquote(path), limit)

    def columns(self, version: int) -> list[Any]:
        return list(self._at(version).schema().fields)

    def arrow(self, version: int) -> ds.Dataset:
        return self._at(version).to_pyarrow_dataset()

    def head(self, version: int, limit: int) -> pa.Table:
        from kappa_assets.place.local.first_rows import first_rows

        return first_rows(self._at(version), self.folder, limit)

    def turn(self) -> AbstractContextManager[None]:
        return table_turn(self.folder)

    def upkeep(self) -> LocalUpkeep:
        from kappa_assets.place.local.upkeep.local_upkeep import LocalUpkeep

        return LocalUpkeep(self.folder)

    def put(self, rows: pa.Table, on: int | None, *, instead: bool = False) -> None:
        from kappa_assets.place.local.delta_write.rows import append_rows, create_with_rows, replace_rows

        if on is None:
            create_with_rows(self.folder, rows)
        else:
            (replace_rows if instead else append_rows)(self._at(on), self.folder, rows)

    def take_out(self, column: str, value: int) -> None:
        from deltalake import DeltaTable

        from kappa_assets.place.local.delta_write.rows import delete_rows

        if self.newest() is None:
            return
        with self.turn():
            delete_rows(DeltaTable(self.folder), self.folder, column, value)

    def open(
        self,
        *,
        partition_by: tuple[str, ...] = (),
        properties: Mapping[str, str] | None = None,
        beside: StoredTable | None = None,
        ordered_by: tuple[str, ...] = (),
        feed: bool = False,
    ) -> LocalTable:
        from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter
        from kappa_assets.place.local.key_order.extents import ORDERED_BY
        from kappa_assets.place.local.local_table import LocalTable
        from kappa_assets.place.local.upkeep.retention import CHANGE_FEED

        name = self.name or self.called
        kept = dict(properties or {}) | ({ORDERED_BY: ",".join(ordered_by)} if ordered_by else {})
        kept |= CHANGE_FEED if feed else {}
        writer = DeltaWriter(name, self.folder, partition_by=partition_by, properties=kept)
        side = None if beside is None else DeltaWriter(beside.name, folder_of(beside))
        return LocalTable(writer, side, ordered_by, feed=feed)

    def _at(self, version: int) -> DeltaTable:
        from deltalake import DeltaTable

        return DeltaTable(self.folder, version=version)


def stored(where: Where) -> StoredTable:
    """Return the table that lies in a folder; a table itself as it is."""
    return LocalStoredTable(where) if isinstance(where, Path) else where


def folder_of(table: StoredTable) -> Path:
    """Return the folder of a table of this place. Raises LakeError for one of another place."""
    folder = getattr(table, "folder", None)
    if isinstance(folder, Path):
        return folder
    raise LakeError(f"{table.called} lies in no local folder", hint="What asks for one works on local lakes alone.")
