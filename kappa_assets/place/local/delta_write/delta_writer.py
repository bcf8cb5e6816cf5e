"""One Delta table that we alone write: made, widened, and committed to exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import deltalake
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql.types import StructType

from kappa_assets.errors import CommitOvertaken, Fenced, LakeError
from kappa_assets.faults import fault_point
from kappa_assets.place.local import durable
from kappa_assets.place.local.delta_write.commit_file import put_commit
from kappa_assets.place.local.delta_write.delta_failure import WRITE_FAILED, cannot_write, was_overtaken
from kappa_assets.place.local.delta_write.held_files import check_still_there, removable, removal
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles
from kappa_assets.place.local.delta_write.table_schema import check_schema, nullable
from kappa_assets.place.local.delta_write.version_checksum import VersionChecksums
from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.local.log_files import log_file
from kappa_assets.place.local.upkeep.retention import LOG_STAYS, add_properties

_CHECKPOINT_EVERY = 20
"""Commits between two log checkpoints: readers in Spark read every later commit file when they open the table."""
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@dataclass(frozen=True)
class Once:
    """A transaction's id and number, by which a commit goes in once; the epoch that fences it, and under which id."""

    app: str
    number: int
    fence: str | None = None
    epoch: int = 0

    @property
    def transactions(self) -> list[Transaction]:
        """What the commit says of itself in the log."""
        fence = [] if self.fence is None else [Transaction(self.fence, self.epoch)]
        return [Transaction(self.app, self.number), *fence]


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

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open table out: another process opens it for itself."""
        return {**vars(self), "_table": None, "_checksums": VersionChecksums(self.folder)}

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

    def held(self) -> pa.Table:
        """Return the files of the newest version, as `StoredTable.files` does. Raises LakeError without a table."""
        return pa.table(self._opened().get_add_actions(flatten=True))

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
        version = self.version()
        try:
            add_properties(self._table, self.folder, self._properties)
        except WRITE_FAILED as error:
            raise self._refused(error, version) from error
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
        self, files: WrittenFiles, once: Once, note: str | Callable[[], str], *, replace: bool = False
    ) -> int | None:
        """Commit `files` and return the version; None when this number of its transaction's id is in already.

        `replace` removes what the table held. A `note` that can be called is asked for while nobody else can commit,
        and refuses the commit by raising. Raises Fenced when the table has seen a newer epoch, CommitOvertaken when
        somebody else committed without taking turns, LakeError for the disk; then nothing is visible.
        """
        with table_turn(self.folder):
            decided_on, is_in = self._look(once)
            if is_in:
                return None
            mode: Literal["overwrite", "append"] = "overwrite" if replace else "append"
            said = note if isinstance(note, str) else note()
            self._transact(decided_on, list(files.actions), mode, said, once)
            return self._committed(files, replace=replace)

    def exchange(
        self,
        old: Collection[str],
        new: WrittenFiles | None,
        once: Once,
        note: Callable[[], str],
        *,
        changed: WrittenFiles | None = None,
        alone: bool = False,
    ) -> int | None:
        """Put files in the place of others in one commit, and return the version.

        `old`: the paths to remove, relative to the table. When one of them is not in the table any more nothing is
        done, and None returned: somebody rewrote it meanwhile. `alone`: nor when the table has any other file. `new`:
        None leaves the files as they are, and commits the note. `note` is asked for also when there is nothing to
        exchange. `changed`: change files, which readers of the feed get instead of all rows. Raises as `commit` does.
        """
        with table_turn(self.folder):
            decided_on, is_in = self._look(once)
            table = self._opened()
            if is_in:
                return decided_on
            held = removable(table)
            if not set(old) <= held.keys() or (alone and len(held) > len(old)):
                return None
            said = note()
            if new is None:
                self._transact(decided_on, [], "append", said, once)
                return self._committed(NOTHING, replace=False)
            if not old and not new.actions:
                return table.version()
            differs = changed is None or bool(changed.actions)  # else the same rows only lie in other files
            gone = [removal(held[path], data_change=differs) for path in old]
            come = [replace(action, data_change=differs) for action in new.actions]
            self._transact(decided_on, [*gone, *come], "append", said, once, changed if differs else None)
            self._checksums.forget()
            return self._committed(new, replace=False)

    def fence(self, fence: str, epoch: int) -> None:
        """Commit an epoch, and nothing else, so that what comes with an older one is refused from now on."""
        with table_turn(self.folder):
            once = Once(fence, epoch)
            decided_on, is_in = self._look(once)
            if not is_in:
                self._transact(decided_on, [], "append", json.dumps({"maintenance": "fence", "epoch": epoch}), once)
                self._committed(NOTHING, replace=False)

    def _look(self, once: Once) -> tuple[int, bool]:
        """Return the version that a commit is decided on, and whether it is in. Raises Fenced for an old epoch."""
        table = self._opened()
        version, last = table.version(), table.transaction_version(once.app)
        newest = None if once.fence is None else table.transaction_version(once.fence)
        if newest is not None and newest > once.epoch:
            raise Fenced(
                f"{self.name} was taken over: it has seen epoch {newest}, this process writes with {once.epoch}",
                hint="Another process holds the lease now, and nothing of this one's was committed. End this one.",
            )
        fault_point("fence_seen", self.name)
        return version, last is not None and last >= once.number

    def _transact(
        self,
        decided_on: int,
        actions: list[AddAction | RemoveAction],
        mode: Literal["overwrite", "append"],
        note: str,
        once: Once,
        changed: WrittenFiles | None = None,
    ) -> None:
        table = self._table
        if table is None or table.version() != decided_on:  # something between looked anew, and found more
            raise self._refused(CommitFailedError(f"version {decided_on} is not the newest"), decided_on)
        files = [*actions, *(changed.actions if changed else ())]
        check_still_there(self.name, self.folder, files)
        if durable.is_synced(self.name):  # before the log names them
            added = [self.folder / action.path for action in files if isinstance(action, AddAction)]
            durable.sync(added, self.folder)
        try:
            if changed is not None:
                put_commit(self.folder, decided_on + 1, actions, changed.actions, note, once.transactions)
                return
            table.create_write_transaction(
                actions,
                mode,
                table.schema(),
                list(self.partition_by) or None,
                commit_properties=CommitProperties(
                    custom_metadata={"userMetadata": note},
                    app_transactions=once.transactions,
                    max_commit_retries=0,
                ),
                post_commithook_properties=_NO_HOOKS,
            )
        except WRITE_FAILED as error:
            raise self._refused(error, decided_on) from error

    def _committed(self, files: WrittenFiles, *, replace: bool) -> int:
        """Do what follows a commit, and return its version."""
        table = self._opened()  # opening takes in the new commit
        self._sync_log(table.version())
        self._checksums.write(table, files, replace=replace)
        if (version := table.version()) % _CHECKPOINT_EVERY == 0:
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
                deltalake.Schema.from_json(json.dumps(nullable(schema).jsonValue())),
                partition_by=list(self.partition_by) or None,
                configuration={**LOG_STAYS, **self._properties},
                raise_if_key_not_exists=False,  # ours begin with "kappa."
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
