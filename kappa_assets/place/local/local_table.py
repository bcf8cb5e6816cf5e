"""One generation's Delta table in a local lake: a Change goes in as one commit, once, under the epoch of a lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import quoted
from kappa_assets.faults import fault_point
from kappa_assets.place.change import (
    Already,
    Applied,
    Aside,
    Beside,
    Change,
    Conflict,
    Counts,
    Everything,
    Fence,
    Files,
    Groups,
    Scan,
    Write,
)
from kappa_assets.place.local.change_feed.change_files import CHANGES, ChangeFiles, Held
from kappa_assets.place.local.change_feed.row_changes import changed_rows, tells_rows_apart
from kappa_assets.place.local.change_rows import write_rows
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, write_files
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH, ResultTooLarge
from kappa_assets.place.local.key_order.key_order import KeyOrder, in_groups
from kappa_assets.place.local.spark_paths import literal_path
from kappa_assets.place.local.upkeep.removal import remove_unfinished

_TRIES = 5
"""How often all rows are compared anew when the table's files were rewritten meanwhile."""


class LocalTable:
    """One Delta table held open: applies changes to it, and what they set aside to the table beside it."""

    def __init__(
        self,
        writer: DeltaWriter,
        beside: DeltaWriter | None = None,
        ordered_by: tuple[str, ...] = (),
        *,
        feed: bool = False,
    ) -> None:
        """`ordered_by`: the columns by which its files are in order, of a table whose groups are replaced.

        `feed`: whether each commit tells the rows that differ, and no others, to those who follow the table.
        """
        self._writer = writer
        self._beside = beside
        self._order = KeyOrder(writer, ordered_by)
        self._feed = feed

    def exists(self) -> bool:
        """Return whether the table is made."""
        return self._writer.exists()

    def version(self) -> int:
        """Return the newest version; -1 when there is no table yet."""
        return self._writer.version()

    def schema(self) -> StructType | None:
        """Return the table's columns, or None when there is no table yet."""
        return self._writer.schema()

    def size(self) -> int:
        """Return the bytes of the files that the table consists of."""
        return sum(self._writer.held()["size_bytes"].to_pylist()) if self.exists() else 0

    def rows(self, spark: SparkSession, schema: StructType) -> DataFrame:
        """Return the table's rows from its own files: opening it through Delta costs a state reconstruction."""
        return self.scan(spark, schema)[0]

    def rows_of(self, spark: SparkSession, groups: Groups, schema: StructType) -> DataFrame:
        """Return the table's rows in some groups. Few files are read, where few can hold them."""
        return self.scan(spark, schema, groups)[0]

    def scan(self, spark: SparkSession, schema: StructType, groups: Groups | None = None) -> tuple[DataFrame, Scan]:
        """Return rows, of some groups or all, and what to read them opens."""
        if groups is not None:
            part = self._order.part_of(groups)
            return in_groups(self._order.rows_of(spark, part, schema), groups, kept=False), part.scan
        files = self._writer.held() if self.exists() else None
        if files is None or not files.num_rows:
            # An empty createDataFrame would start a Python worker to read nothing.
            return spark.range(0).select(*[F.lit(None).cast(f.dataType).alias(f.name) for f in schema]), Scan()
        paths = [literal_path(self._writer.folder / path) for path in files["path"].to_pylist()]
        return spark.read.schema(schema).parquet(*paths), Scan.of(files)

    def prepare(self, schema: StructType) -> None:
        """Make the table, or add columns that it lacks, as a commit of its own. Raises LogicError, LakeError."""
        self._writer.prepare(schema)

    def take_over(self, write: Write, fence: Fence) -> None:
        """Have the table take the epoch of a lease whose holder before may not know that it has lost it."""
        name, epoch = write.fence(fence)
        for writer in (self._writer, self._beside):
            if fence.raises and writer is not None and not writer.is_committed(name, epoch) and writer.exists():
                writer.fence(name, epoch)

    def is_in(self, write: Write) -> bool:
        """Return whether the change with this id, or one with the same id and a later number, is in the table."""
        return self._writer.is_committed(write.app, write.number)

    def apply(self, change: Change, fence: Fence) -> Applied | Already | Conflict:
        """Write the change's rows and commit them; what fails goes beside the table by an earlier commit.

        Done again after a failure anywhere, it goes on where that was. Raises Fenced when another process has taken the
        lease over, CommitOvertaken when somebody else commits without taking turns, LakeError for faults of the disk,
        and what the change's note raises; then nothing of it is visible.
        """
        if self.is_in(change.write):
            return Already()
        if isinstance(change.instead_of, Groups):
            return self._replace_groups(change, change.instead_of, fence)
        files, counts = self._all_written(change, fence)
        if change.point is not None:
            fault_point(change.point, self._writer.name)
        once, said = _once(change.write, fence), lambda: change.note(counts)
        match change.instead_of:
            case Files() as old:
                changed = self._row_changes(old, files)
                version = self._writer.exchange(old.paths, files, once, said, changed=changed)
                if version is None:
                    return Conflict()
            case Everything():
                return self._replace_all(change.rows, files, once, said, counts)
            case None:
                version = self._writer.commit(files, once, said)
        return Already() if version is None else Applied(version, counts)

    def _replace_groups(self, change: Change, groups: Groups, fence: Fence) -> Applied | Already | Conflict:
        """Put the change's rows in the place of the groups, in as few files as may hold them."""
        assert change.rows is not None  # noqa: S101 -- for mypy; a change of groups has rows, if only none of them
        part = self._order.part_of(groups)
        schema = StructType([f for f in change.rows.schema if f.name not in change.counted])
        stay = in_groups(self._order.rows_of(change.rows.sparkSession, part, schema), groups, kept=True)
        if change.counted:
            stay = stay.withColumns(dict.fromkeys(change.counted, F.lit(False)))
        files, counted = self._order.write(stay.unionByName(change.rows), part, change.counted)
        touched = {"groups": groups.values.num_rows, "files": len(part.replaced), "bytes": part.bytes}
        counts = Counts(files.rows, part.kept_rows + files.rows, counted=counted, touched=touched)
        self._check(change, counts, [action.path for action in files.actions])
        if change.point is not None:
            fault_point(change.point, self._writer.name)
        old = Held(tuple(one.path for one in part.replaced), part.bytes)
        changed = self._change_files().of(change.rows.sparkSession, old, files, groups) if self._feed else None
        version = self._exchange(old, files, changed, _once(change.write, fence), lambda: change.note(counts))
        return Conflict() if version is None else Applied(version, counts)

    def _replace_all(
        self, rows: DataFrame | None, files: WrittenFiles, once: Once, said: Callable[[], str], counts: Counts
    ) -> Applied | Already | Conflict:
        """Put files in the place of all. Where the feed is on they are compared anew if somebody rewrote these."""
        for _ in range(_TRIES):
            old = Held.all_of(self._writer.held())
            changed = self._told(rows, old, files)
            if changed is None and not self._feed:
                version = self._writer.commit(files, once, said, replace=True)
                return Already() if version is None else Applied(version, counts)
            version = self._exchange(old, files, changed, once, said, alone=True)
            if version is not None:
                return Applied(version, counts)
        return Conflict()

    def _told(self, rows: DataFrame | None, old: Held, files: WrittenFiles) -> WrittenFiles | None:
        """Return the change files; NOTHING where all rows are the same, None where the files tell it by themselves."""
        if not self._feed:
            return NOTHING if self._change_files().are_the_same(old, files) else None
        return None if rows is None else self._change_files().of(rows.sparkSession, old, files)

    def _exchange(
        self,
        old: Held,
        files: WrittenFiles,
        changed: WrittenFiles | None,
        once: Once,
        said: Callable[[], str],
        *,
        alone: bool = False,
    ) -> int | None:
        """Put files in the place of others; where they hold the same rows, say so by the note alone."""
        same = changed is not None and not changed.actions
        new = None if same or not (old.paths or files.actions) else files
        version = self._writer.exchange(old.paths, new, once, said, changed=changed, alone=alone)
        if same and version is not None:
            self._remove(action.path for action in files.actions)
        return version

    def _change_files(self) -> ChangeFiles:
        writer = self._writer
        return ChangeFiles(writer.folder, writer.version(), self._known_schema(), writer.partition_by)

    def _all_written(self, change: Change, fence: Fence) -> tuple[WrittenFiles, Counts]:
        """Write the rows, and commit those that are set aside; return the files to add."""
        try:
            files, aside, counts = write_rows(
                change, self._writer.folder, self._writer.partition_by, small=change.small
            )
        except ResultTooLarge:
            files, aside, counts = write_rows(change, self._writer.folder, self._writer.partition_by, small=False)
        self._check(change, counts, [*(action.path for action in files.actions), *aside])
        if isinstance(change.aside, Beside):
            change.aside.put()
        elif change.aside is not None and aside:
            self._set_aside(change, change.aside, aside, fence)
        return files, counts

    def _check(self, change: Change, counts: Counts, files: list[str | Path]) -> None:
        """Have the change checked; one that is refused leaves no file."""
        try:
            if change.check is not None:
                change.check(counts)
        except BaseException:
            self._remove(files)
            raise

    def _remove(self, files: Iterable[str | Path]) -> None:
        """Remove the folders of writes that no commit names, by files in them."""
        folder = self._writer.folder
        for relative in {"/".join((folder / path).relative_to(folder).parts[:2]) for path in files}:
            remove_unfinished(folder, relative)

    def _set_aside(self, change: Change, aside: Aside, files: list[Path], fence: Fence) -> None:
        """Commit what is kept of the rows in `files` beside the table, and remove the files, which no commit names."""
        assert self._beside is not None and change.rows is not None  # noqa: S101, PT018 -- for mypy
        once = _once(Write(change.write.table, change.write.generation, "rejects", change.write.number), fence)
        if not self._beside.is_committed(once.app, once.number):
            kept = aside.kept(self._rows_in(change.rows.sparkSession, files))
            self._beside.prepare(kept.schema)
            few = sum(path.stat().st_size for path in files) <= SMALL_BATCH
            written = write_files(kept, self._beside.folder, small=few)
            self._beside.commit(written, once, aside.note)
        for path in files:
            path.unlink()

    def _row_changes(self, old: Files, new: WrittenFiles) -> WrittenFiles | None:
        """Write the rows that differ as change files; None where the files taken away and added tell it as well."""
        schema = self._known_schema()
        if old.rows is None or not new.actions or not tells_rows_apart(schema):
            return None
        fresh = self._rows_in(old.rows.sparkSession, [self._writer.folder / action.path for action in new.actions])
        with changed_rows(old.rows.select(*map(quoted, fresh.columns)), fresh) as changed:
            if changed is None:
                return NOTHING
            return write_files(changed, self._writer.folder, self._writer.partition_by, below=CHANGES)

    def _rows_in(self, spark: SparkSession, files: list[Path]) -> DataFrame:
        """Return the rows of files that are not committed yet, all of one write."""
        schema, root = self._known_schema(), str(self._writer.folder / "data")
        rows = spark.read.schema(schema).option("basePath", root).parquet(*map(literal_path, files))
        return rows.select(*map(quoted, schema.names))

    def _known_schema(self) -> StructType:
        schema = self._writer.schema()
        assert schema is not None  # noqa: S101 -- for mypy; a change is applied to a table that was made
        return schema


def _once(write: Write, fence: Fence) -> Once:
    return Once(write.app, write.number, *write.fence(fence))
