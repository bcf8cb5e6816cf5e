"""The rows that one generation of a Silver has set aside, read as files and rewritten in place, beside its stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.errors import ReleaseRefused
from kappa_assets.kinds.query import Setting
from kappa_assets.log.note import RELEASED
from kappa_assets.names import TableName
from kappa_assets.place.change import Applied, Change, Fence, Files, Write
from kappa_assets.place.held import held
from kappa_assets.repair.releasable import number_of

_TRIES = 5
"""How often files are rewritten anew when somebody else rewrote them meanwhile: maintenance does, once."""
_FILE = "_file"
"""Beside a row: the file that it lies in."""


class RowsAside:
    """A side table, with the rows of one generation. The stream may add to it meanwhile."""

    def __init__(self, setting: Setting, table: TableName, generation: int) -> None:
        self.generation = generation
        self._spark, self._table = setting.spark, table
        self._stored = setting.lake.set_aside(table)
        self._open = self._stored.open()
        schema = self._open.schema()
        self.has_quarantine = schema is not None and "on_fail" in schema.names  # of before there was one it has not

    def rows(self) -> DataFrame:
        """Return the rows of the generation as they are now."""
        return self._read(self._paths()).drop(_FILE).where(F.col("generation") == self.generation)

    def check_condition(self, where: str) -> None:
        """Raise ReleaseRefused unless `where` is a condition that rows can be chosen by."""
        rows = self.rows()
        try:
            rows.limit(0).where(where).collect()
        except PySparkException as error:
            said = str(error).partition(" SQLSTATE")[0].partition("\n")[0].strip()
            raise ReleaseRefused(
                f"rows of {self._table} cannot be chosen by {where!r}: {said}",
                hint=f"Write a condition in SQL on {', '.join(rows.columns)}; true chooses all.",
            ) from error

    def marks(self) -> list[int]:
        """Return the numbers of the releases that have marked rows of the generation, in order."""
        import pyarrow.compute as pc

        version = self._stored.newest()
        mine = pc.field("generation") == self.generation
        rows = None if version is None else self._stored.arrow(version).to_table(columns=["on_fail"], filter=mine)
        told = [] if rows is None else rows["on_fail"].unique().to_pylist()
        return sorted({n for n in (number_of(mark or "") for mark in told) if n is not None})

    def has_told_of(self, batch: int) -> bool:
        """Return whether a batch of the stream, or a later one, has set rows aside."""
        return self._open.is_in(Write(str(self._table), self.generation, "rejects", batch))

    def rewrite(
        self, concerned: Callable[[DataFrame], DataFrame], changed: Callable[[DataFrame], DataFrame], fence: Fence
    ) -> bool:
        """Put what is made of the files that hold concerned rows in their place, in one commit; False: none does.

        Raises Fenced when a later epoch is known of the table.
        """
        said = json.dumps({"table": str(self._table), "generation": self.generation, RELEASED: fence.epoch})
        for _ in range(_TRIES):
            paths = self._paths()
            found = [row[_FILE] for row in concerned(self._read(paths)).select(_FILE).distinct().collect()]
            touched = tuple(path for path in paths if any(name.endswith(f"/{path}") for name in found))
            if not touched:
                return False
            fresh = changed(self._read(touched).drop(_FILE))
            write = Write(str(self._table), self.generation, RELEASED, self._open.version() + 1)
            change = Change(write, fresh, lambda _: said, Files(touched, None), small=True, point=None)
            if isinstance(self._open.apply(change, fence), Applied):
                return True
        raise ReleaseRefused(
            f"the rows set aside of {self._table} were rewritten {_TRIES} times while some were released",
            hint="Somebody else rewrites them; release them again when that is done.",
        )

    def _paths(self) -> tuple[str, ...]:
        """Return the files that may hold rows of the generation."""
        version = self._stored.newest()
        files = [] if version is None else held(self._stored.files(version))
        return tuple(file["path"] for file in files if _may_hold(file, self.generation))

    def _read(self, paths: tuple[str, ...]) -> DataFrame:
        schema = self._open.schema()
        assert schema is not None  # noqa: S101 -- for mypy; a side table without columns has no rows to read
        if not paths:
            nothing = [F.lit(None).cast(f.dataType).alias(f.name) for f in schema]
            return self._spark.range(0).select(*nothing, F.lit("").alias(_FILE))
        return self._stored.read_files(self._spark, paths, schema).withColumn(_FILE, F.col("_metadata.file_path"))


def _may_hold(file: dict[str, Any], generation: int) -> bool:
    low, high = file.get("min.generation"), file.get("max.generation")
    return low is None or high is None or low <= generation <= high
