"""One Delta table that we alone write: made, widened, and committed to exactly once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import deltalake
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType

from kappa_assets.errors import CommitOvertaken, LakeError, LogicError
from kappa_assets.place.local import durable
from kappa_assets.place.local.delta_write.delta_failure import WRITE_FAILED, cannot_write, was_overtaken
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles
from kappa_assets.place.local.delta_write.version_checksum import VersionChecksums
from kappa_assets.place.local.lock import table_turn
from kappa_assets.place.local.log_files import log_file

_CHECKPOINT_EVERY = 20
"""Commits between two log checkpoints: readers in Spark read every later commit file when they open the table."""
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class DeltaWriter:
    """Writes one Delta table. Every commit carries a transaction id and lands on the version it was decided on.

    So a batch is committed once, however often it is tried, and of two writers the second is refused.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        partition_by: tuple[str, ...] = (),
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.partition_by = partition_by
        self._properties = dict(properties or {})
        self._table: DeltaTable | None = None
        self._checksums = VersionChecksums(folder)

    def exists(self) -> bool:
        """Return whether the table is made."""
        return self._open() is not None

    def version(self) -> int:
        """Return the newest version; -1 when there is no table yet."""
        table = self._open()
        return -1 if table is None else table.version()

    def schema(self) -> StructType | None:
        """Return the table's schema as Spark's, or None when there is no table yet."""
        table = self._open()
        return None if table is None else StructType.fromJson(json.loads(table.schema().to_json()))

    def files(self) -> list[str]:
        """Return the full paths of the files the newest version consists of."""
        table = self._open()
        if table is None:
            return []
        return [str(self.folder / str(path)) for path in table.get_add_actions().column("path").to_pylist()]

    def is_committed(self, app: str, batch: int) -> bool:
        """Return whether a commit of `app` with this batch number, or a later one, is in the table."""
        table = self._open()
        last = None if table is None else table.transaction_version(app)
        return last is not None and last >= batch

    def prepare(self, schema: StructType) -> None:
        """Make the table if it is missing, and add columns it does not have yet, as a commit of its own.

        Raises LogicError when a column the table has is missing from `schema` or has another type, LakeError when the
        disk does not take it.
        """
        known = self.schema()
        if known is None:
            self._create(schema)
            return
        fresh = check_schema(self.name, known, schema)
        if fresh:
            added = deltalake.Schema.from_json(json.dumps(StructType(fresh).jsonValue()))
            with table_turn(self.folder):
                table = self._opened()
                try:
                    table.alter.add_columns(list(added.fields), post_commithook_properties=_NO_HOOKS)
                except WRITE_FAILED as error:
                    raise self._refused(error, table.version()) from error

    def commit(
        self, files: WrittenFiles, app: str, batch: int, note: str | Callable[[], str], *, replace: bool = False
    ) -> int | None:
        """Commit `files` and return the version; None when this batch of `app` is in already.

        `replace` removes what the table held. A `note` that can be called is asked for while nobody else can commit,
        and refuses the commit by raising. Raises CommitOvertaken when somebody else committed without taking turns:
        then this process is not the table's writer any more, and nothing of the batch is visible. Raises LakeError
        when the disk does not take the commit.
        """
        with table_turn(self.folder):
            if self.is_committed(app, batch):
                return None
            mode: Literal["overwrite", "append"] = "overwrite" if replace else "append"
            said = note if isinstance(note, str) else note()
            self._transact(list(files.actions), mode, said, [Transaction(app, batch)])
            return self._committed(files, replace=replace)

    def exchange(self, old: Collection[str], new: WrittenFiles, note: Callable[[], str]) -> int | None:
        """Put files in the place of others in one commit, and return the version.

        `old`: the paths to remove, relative to the table. When one of them is not in the table any more nothing is
        done, and None returned: somebody rewrote it meanwhile. `note` is asked for while nobody else can commit, also
        when there is nothing to exchange, and refuses by raising.
        """
        with table_turn(self.folder):
            table = self._opened()
            actions = pa.table(table.get_add_actions()).select(["path", "size_bytes", "partition"])
            held = {action["path"]: action for action in actions.to_pylist()}
            if not set(old) <= held.keys():
                return None
            said = note()
            if not old and not new.actions:
                return table.version()
            self._transact([*(_removal(held[path]) for path in old), *new.actions], "append", said, [])
            self._checksums.forget()
            return self._committed(new, replace=False)

    def _transact(
        self,
        actions: list[AddAction | RemoveAction],
        mode: Literal["overwrite", "append"],
        note: str,
        transactions: list[Transaction],
    ) -> None:
        table = self._opened()
        self._check_still_there(actions)
        if durable.is_synced(self.name):  # before the log names them
            added = [self.folder / action.path for action in actions if isinstance(action, AddAction)]
            durable.sync(added, self.folder)
        try:
            table.create_write_transaction(
                actions,
                mode,
                table.schema(),
                list(self.partition_by) or None,
                commit_properties=CommitProperties(
                    custom_metadata={"userMetadata": note},
                    app_transactions=transactions,
                    max_commit_retries=0,
                ),
                post_commithook_properties=_NO_HOOKS,
            )
        except WRITE_FAILED as error:
            raise self._refused(error, table.version()) from error

    def _check_still_there(self, actions: Sequence[AddAction | RemoveAction]) -> None:
        """Raise LakeError when a file to add is gone: this process slept for longer than upkeep leaves such files.

        Upkeep removes files in the table's turn, so what is there now is there after the commit.
        """
        added = [action.path for action in actions if isinstance(action, AddAction)]
        gone = [path for path in added if not ((self.folder / path).exists() or (self.folder / unquote(path)).exists())]
        if gone:
            raise LakeError(
                f"{len(gone)} of {len(added)} files that were written for {self.name} are gone, such as {gone[0]!r}",
                hint="Nothing was committed; the batch is done again. Maintenance takes what nobody commits for days.",
            )

    def _committed(self, files: WrittenFiles, *, replace: bool) -> int:
        """Do what follows a commit, and return its version."""
        table = self._opened()  # opening takes in the new commit
        self._sync_log(table.version())
        self._checksums.write(table, files, replace=replace)
        version = table.version()
        if version % _CHECKPOINT_EVERY == 0:
            table.create_checkpoint()
            # An open table replays every commit since it was opened for each new one: after 450 commits one took 200 ms
            # instead of 40. Opened anew, it begins at the checkpoint.
            self._table = DeltaTable(self.folder)
        return version

    def _sync_log(self, version: int) -> None:
        if durable.is_synced(self.name):
            durable.sync([log_file(self.folder, version)], self.folder.parent)

    def _refused(self, error: Exception, version: int) -> CommitOvertaken | LakeError:
        """Return why a commit that was decided on `version` did not go in: somebody was first, or the disk."""
        if was_overtaken(self.folder, version):
            return CommitOvertaken(
                f"somebody else committed to {self.name} at the same time",
                hint="The batch is tried again. Another engine writes the table (a DELETE by hand?): do not let it, "
                "while a host, a repair or maintenance runs.",
            )
        return cannot_write(self.name, self.folder, error)

    def _create(self, schema: StructType) -> None:
        try:
            self._table = DeltaTable.create(
                str(self.folder),
                deltalake.Schema.from_json(json.dumps(_nullable(schema).jsonValue())),
                partition_by=list(self.partition_by) or None,
                configuration=self._properties,
            )
        except WRITE_FAILED as error:
            raise self._refused(error, -1) from error
        self._sync_log(0)

    def _open(self) -> DeltaTable | None:
        if self._table is not None:
            self._table.update_incremental()
            return self._table
        try:
            self._table = DeltaTable(self.folder)
        except TableNotFoundError:
            return None
        return self._table

    def _opened(self) -> DeltaTable:
        table = self._open()
        if table is None:
            raise LakeError(f"{self.name} was removed while it was written", hint="Replay it to build it anew.")
        return table


def _removal(held: Mapping[str, Any]) -> RemoveAction:
    """Return the removal of a file. Size and partition are what a reader of the change feed needs of it."""
    values = {name: None if value is None else str(value) for name, value in (held["partition"] or {}).items()}
    return RemoveAction(held["path"], True, int(time.time() * 1000), size=held["size_bytes"], partition_values=values)


def check_schema(name: str, known: StructType, wanted: StructType) -> list[StructField]:
    """Return the columns of `wanted` that `known` lacks. Raises LogicError for a removed or re-typed one."""
    by_name = {f.name.lower(): f for f in wanted}
    for field in known:
        found = by_name.get(field.name.lower())
        if found is None:
            raise LogicError(
                f"{name} has a column {field.name!r} that its function no longer gives",
                hint="A removed or renamed column needs a replay: its old rows are computed anew.",
            )
        if found.dataType.simpleString() != field.dataType.simpleString():
            raise LogicError(
                f"column {field.name!r} of {name} is {field.dataType.simpleString()}, "
                f"but its function gives {found.dataType.simpleString()}",
                hint="A changed type needs a replay: its old rows are computed anew.",
            )
    names = {f.name.lower() for f in known}
    return list(_nullable(StructType([f for f in wanted if f.name.lower() not in names])))


def _nullable(schema: StructType) -> StructType:
    """Return the schema with every column nullable, those inside others too: a batch may lack what another one had.

    A field of a struct that must not be null is an invariant of the table for Delta: beside a column of timestamps
    without zone, which raises the protocol, Spark refuses to read a table that does not name that feature.
    """
    return StructType([StructField(f.name, _nullable_inside(f.dataType), True) for f in schema])


def _nullable_inside(kind: DataType) -> DataType:
    match kind:
        case StructType():
            return _nullable(kind)
        case ArrayType():
            return ArrayType(_nullable_inside(kind.elementType), True)
        case MapType():
            return MapType(_nullable_inside(kind.keyType), _nullable_inside(kind.valueType), True)
    return kind
