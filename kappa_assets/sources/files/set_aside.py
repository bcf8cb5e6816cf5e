"""Landed files that were set aside, put back under another name, so that they are taken again."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from kappa_assets.columns import SOURCE, SOURCE_NAME
from kappa_assets.errors import SourceError
from kappa_assets.faults import fault_point
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.ledger.told import source_columns, tells_files
from kappa_assets.sources.side_table import Rejected, SideTable
from kappa_assets.sources.standings import ANY, Mine

_PACKED = ".gz"


class SetAsideFiles(SideTable):
    """The files of one tape that were set aside. The host writes them, and `retry` notes what it puts back."""

    def __init__(self, lake: Lake, bronze: TableName, mine: Mine = ANY) -> None:
        """`mine`: which source's files are meant, by the label that they have or lack."""
        super().__init__(lake, bronze)
        self._tape = lake.folder(bronze)
        self._mine = mine

    def retry(self, landing: Path, files: Iterable[str] = ()) -> dict[str, str]:
        """Give set-aside files a new name, under which the stream finds them; return the new name of each.

        `files`: paths below the landing folder (none: all that still lie there, and are not on the tape). Raises
        SourceError for one that was not set aside, is gone, or is on the tape.

        The name is noted, then the file renamed, in one step: a process that dies in between has changed nothing, and
        the next try takes another name. So no name is used twice, and nothing is read twice.
        """
        known = {row.file: row for row in self.all() if self._mine(row.source)}
        asked = list(dict.fromkeys(files))
        for file in asked:
            self._check(landing, file, known)
        lying = asked or [file for file in known if (landing / file).is_file()]
        on_tape = self._on_tape(landing, lying)
        if asked and on_tape:
            raise SourceError(
                f"{min(on_tape)!r} is on the tape of {self.bronze}: it was read after it had been set aside",
                hint="Nothing need be done; kappa show lists its rows.",
            )
        asked = [file for file in lying if file not in on_tape]
        return {file: self._put_back(landing, known[file]) for file in asked}

    def _check(self, landing: Path, file: str, known: Mapping[str, Rejected]) -> None:
        if file not in known:
            raise SourceError(
                f"{file!r} was not set aside from {self.bronze}",
                hint=f"kappa rejects {self.bronze} lists those that were, by their paths below the landing folder.",
            )
        if not (landing / file).is_file():
            put_back = known[file].retried_as
            raise SourceError(
                f"{file!r} does not lie in the landing folder {str(landing)!r} any more",
                hint=f"It was put back as {put_back!r}."
                if put_back
                else "Land it again, under a new name: then it is read by itself.",
            )

    def _on_tape(self, landing: Path, files: Sequence[str]) -> set[str]:
        """Return the files that were read as they lie there: a new checkpoint finds also what an earlier set aside."""
        try:
            tape = DeltaTable(self._tape).to_pyarrow_dataset()
        except TableNotFoundError:
            return set()
        if not tells_files(tape.schema):
            return set()
        source = source_columns(tape.schema, ("file", "bytes", "modified_at"))
        wanted = ds.field(SOURCE, "file").isin(pa.array(files, pa.string()))
        rows = tape.to_table(columns=source, filter=wanted)
        read = {
            (r["file"], r["bytes"], int(r["modified_at"].timestamp() * 1000))
            for r in rows.to_pylist()
            if self._mine(r.get(SOURCE_NAME))
        }
        stats = {file: (landing / file).stat() for file in files}
        return {file for file, s in stats.items() if (file, s.st_size, s.st_mtime_ns // 1_000_000) in read}

    def _put_back(self, landing: Path, row: Rejected) -> str:
        name = self._fresh_name(landing, row.file)
        noted = Rejected(row.file, row.reason, row.batch, dt.datetime.now(dt.UTC), name, source=row.source)
        number = self.writer.version() + 1
        self.commit([noted], f"kappa/{self.bronze}/retry", number)
        fault_point("retrying", str(self.bronze))
        (landing / row.file).rename(landing / name)
        return name

    def _fresh_name(self, landing: Path, file: str) -> str:
        """Return `a.retry-1.csv` for `a.csv`: the date in a name and the ending stay, for they say when and how."""
        used = {row.retried_as for row in self.rows()}
        path = Path(file)
        ending = "".join(path.suffixes[-2:]) if path.suffix == _PACKED else path.suffix
        stem = path.name.removesuffix(ending)
        names = (str(path.with_name(f"{stem}.retry-{n}{ending}")) for n in itertools.count(1))
        return next(name for name in names if name not in used and not (landing / name).exists())
