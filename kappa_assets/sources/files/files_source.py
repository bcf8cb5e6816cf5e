"""The source of landed files: plans say which files a batch takes, and the ledger of the tape which it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructField, StructType

from kappa_assets.columns import ARRIVED_AT, SOURCE_FILE
from kappa_assets.declare.source import Files
from kappa_assets.log.note import LANDED
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH
from kappa_assets.sources.files.archive import Archive
from kappa_assets.sources.files.file_batch import culprits, folder_of, local_paths, read_batch, stream_of_plans
from kappa_assets.sources.files.inspect_files import SetAside
from kappa_assets.sources.files.landed_names import date_in_name, deliveries, path_below
from kappa_assets.sources.files.landing_folder import LandingFolder
from kappa_assets.sources.files.patience import Patience, written_again
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans
from kappa_assets.sources.ledger.ledger import Delivery, Ledger
from kappa_assets.sources.ledger.planner import Planner
from kappa_assets.sources.source import READ_FAILED, Batch, Given, Offsets, Range, Refused, Source, Taken

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class _TakenFiles(Taken):
    """What is made of a batch of files, and what is needed to make it again."""

    fresh: tuple[Delivery, ...]
    """The files of the batch that are there, and not on the tape."""
    earlier: int
    """How many of its files an earlier try has set aside."""
    files: tuple[str, ...]
    """The full paths of those with rows in it."""
    found: tuple[SetAside, ...]
    """Those that are left out, for they were found damaged or changed while they were read."""


class FilesSource(Source):
    """Reads one landing folder. Its ledger, and not its checkpoint, knows which files are on the tape."""

    longest = 2_000
    """Spark keeps a line of each plan for ever, and writes all lines anew every tenth batch."""

    def __init__(self, declared: Files, given: Given) -> None:
        self._declared, self._given = declared, given
        lake, table = given.lake, given.table
        self._ledger = Ledger(lake.ledger(table), lake.folder(table), lake.rejects(table), given.label)
        self._plans = DeliveryPlans(given.checkpoint)
        self._planner = Planner(
            str(table),
            given.landing / declared.folder,
            self._ledger,
            self._plans,
            most=given.most,
            overwritten=declared.overwritten,
            pattern=declared.pattern,
            recursive=declared.recursive,
        )
        self._named: tuple[Batch, list[int], list[str]] | None = None
        self.columns = StructType([StructField(name, StringType()) for name in declared.columns])

    def check(self) -> str | None:
        """Look that the folder is there, move what is archived; return why the plans of its checkpoint cannot go on."""
        if self._declared.recursive:
            LandingFolder(self._folder, self._given.checkpoint.path).check()
        self._ledger.sync()
        if (archive := self._archive) is not None:
            archive.prepare()
            archive.move_done()
        if self._given.checkpoint.newest_begun() is not None and not self._plans.folder.is_dir():
            return "is of an earlier version, which knew files by their whole paths"
        if self._plans.was_moved():
            return "was moved, and Spark knows plans by their whole paths"
        return None

    def begin(self) -> None:
        """Plan what lies in the landing folder and is not on the tape. Raises OSError."""
        self._planner.begin()

    def stream(self, spark: SparkSession, stands: Mapping[str, int]) -> DataFrame:  # noqa: ARG002 -- has no numbers
        """Return the stream of the plans: it knows nothing of the files themselves."""
        return stream_of_plans(spark, self._plans.folder)

    def look(self) -> None:
        """Plan what has landed since the last look. Raises OSError when the landing folder cannot be read."""
        self._planner.look()

    def ranges(self, offsets: Offsets) -> Mapping[str, Range]:  # noqa: ARG002 -- the port's
        """Return nothing: files are known by their names and bytes, and have no numbers."""
        return {}

    def read(self, batch: Batch) -> Taken | None:
        """Return the rows of those of a batch's files that are there, and not on the tape."""
        folder = self._folder
        self._ledger.sync()
        found = deliveries(folder, (str(folder.absolute() / file) for file in self._of(batch)[1]))
        fresh = tuple(self._planner.unknown(found))
        earlier = len(self._set_aside_before(set(found) - set(fresh)))
        if not fresh and not earlier:
            return None
        return self._take(batch, fresh, earlier)

    def again(self, batch: Batch, taken: Taken, error: Exception | None) -> Taken | None:
        """Leave out files that are damaged, or were written again while they were read: one breaks off no other."""
        assert isinstance(taken, _TakenFiles)  # noqa: S101 -- for mypy; what `read` and `again` have returned
        if error is not None:
            damaged = culprits(batch.rows.sparkSession, self._declared, taken.files, error)
            return self._take(batch, taken.fresh, taken.earlier, (*taken.found, *damaged))
        left_out = {one.file for one in taken.found}
        read = (one for one in taken.fresh if self._path(one) not in left_out)
        if changed := written_again(self._folder, read):
            changed = self._patience.wait_for(batch.offsets.number, changed)
            return self._take(batch, taken.fresh, taken.earlier, (*taken.found, *changed))
        if (archive := self._archive) is not None:
            aside = {one.name for one in taken.aside}
            archive.note(batch.offsets.number, (one for one in taken.fresh if one.file not in aside))
        return None

    def done(self, batch: Batch) -> None:
        """Let the ledger take in the batch, and its plans go."""
        self._ledger.sync()
        self._planner.done(self._of(batch)[0])

    @property
    def _folder(self) -> Path:
        return folder_of(self._declared, self._given.landing)

    @property
    def _patience(self) -> Patience:
        return Patience(self._given.checkpoint.path / "unreadable_files.json")

    @property
    def _archive(self) -> Archive | None:
        return Archive(self._folder, self._given.checkpoint.path) if self._declared.archive else None

    def _of(self, batch: Batch) -> tuple[list[int], list[str]]:
        """Return the numbers of a batch's plans, and the files that they name. Spark is asked once."""
        if self._named is None or self._named[0] is not batch:
            plans = local_paths(row.path for row in batch.rows.collect())
            self._named = (batch, *self._plans.read(plans))
        return self._named[1:]

    def _path(self, one: Delivery) -> str:
        return str(self._folder.absolute() / one.file)

    def _set_aside_before(self, found: Iterable[Delivery]) -> set[str]:
        """Return which of these were set aside, by an earlier try of their batch: no plan names one that was."""
        known = self._ledger.find([one.file for one in found])
        return {file for file, all_known in known.items() if all(k.set_aside for k in all_known)}

    def _take(
        self, batch: Batch, fresh: tuple[Delivery, ...], earlier: int, left_out: tuple[SetAside, ...] = ()
    ) -> Taken:
        """Return the rows of the files that are not left out. A read that fails is tried without the damaged ones.

        Raises SourceError while files cannot be read that may be readable later.
        """
        spark, declared, folder = batch.rows.sparkSession, self._declared, self._folder
        without = {one.file for one in left_out}
        paths = tuple(path for path in map(self._path, fresh) if path not in without)
        known: dict[str, DataType | None] = dict.fromkeys(declared.columns)
        known |= {f.name: f.dataType for f in batch.columns}
        try:
            read = read_batch(spark, declared, paths, known, batch.fits, folder=folder, of_others=batch.of_others)
        except READ_FAILED as error:
            damaged = culprits(spark, declared, paths, error)
            return self._take(batch, fresh, earlier, (*left_out, *damaged))
        aside = self._patience.wait_for(batch.offsets.number, (*left_out, *read.set_aside))
        why = {path_below(folder, one.file): one.reason for one in aside}
        was = {one.file: one for one in fresh}
        return _TakenFiles(
            rows=read.rows,
            facts={
                "files": len(read.files),
                "set_aside": earlier + len(why),
                LANDED: [list(one) for one in fresh if one.file not in why],
            },
            aside=tuple(Refused(file, reason, was.get(file)) for file, reason in why.items()),
            small=_unpacked_size(read.files) <= SMALL_BATCH,
            of_a_date=date_in_name(F.col(SOURCE_FILE)) == F.col(ARRIVED_AT) if declared.arrived == "name" else None,
            arrival_unknown=declared.arrived == "unknown",
            fresh=fresh,
            earlier=earlier,
            files=read.files,
            found=left_out,
        )


def _unpacked_size(paths: Iterable[str]) -> int:
    """Return about how many bytes landed files hold: text packs ten to one."""
    return sum(Path(path).stat().st_size * (10 if path.endswith(".gz") else 1) for path in paths)
