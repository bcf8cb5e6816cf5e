"""Where a Bronze table's rows come from. Values only; `kappa_assets.sources` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar, Literal, get_args

from kappa_assets.declare.charsets import CHARSETS, is_wide, pythons_name
from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.errors import DeclarationError

FileFormat = Literal["csv", "json", "text", "parquet"]
Form = Literal["text", "bytes"]
Overwritten = Literal["read", "name"]
_ARRIVED = ("name", "file", "unknown")
_LINE_FORMATS = ("json", "text")
_CSV_DEFAULTS = {"sep": ",", "quote": '"', "escape": '"', "multiline": False, "null_value": None}


@dataclass(frozen=True)
class DeclaredSource:
    """Where a tape's rows come from, as a value. A source of one's own derives from it: a frozen dataclass."""

    changes_no_row: ClassVar[tuple[str, ...]] = ("origin",)
    """Its options that are no part of the code version: what they say changes no row."""
    always_told: ClassVar[tuple[str, ...]] = ()
    """Its options that are part of the code version also where they are left out."""
    packages: ClassVar[tuple[str, ...]] = ()
    """The Maven coordinates of what Spark needs to read it: fetched only where a pipeline has such a source."""

    @property
    def gives(self) -> Mapping[str, Form]:
        """The columns of the payload that it is known to give before it has given any, and what each holds."""
        return {}

    @property
    def label(self) -> str:
        """The name of this source in metadata and in transaction ids: what it is, and which, such as `files:orders`."""
        raise NotImplementedError

    @property
    def described(self) -> str:
        """What it is, in the words that people are shown."""
        return self.label

    def clash(self, other: DeclaredSource) -> str | None:
        """Return why this source and another cannot bring rows onto one tape; None where they can."""
        return f"both are {self.label}" if self.label == other.label else None


@dataclass(frozen=True)
class Files(DeclaredSource):
    """Files that land in a folder; each is read once, as it came.

    What is on the tape is not read again, and what is not on it is. A file is known by its path below the folder, and
    by its bytes: one that was touched, or put back from a backup, is on the tape. Of a file that lies there under
    several names (links) one is read.

    Args:
        folder: name of the folder below the landing folder.
        format: `csv` with `header=True` gives one string column per column of the header, matched by name;
            `csv` without a header, `json` (one document a line) and `text` keep each line raw in `value`;
            `parquet` keeps the file's own columns. Text is unpacked by its ending: `.gz`, `.bz2`, `.zst`.
        header: whether each CSV file begins with the names of its columns.
        columns: CSV columns the tape has from its first commit on, even where early files lack them.
        archive: whether files that are on the tape are moved to `_read` below the folder. Now and then all files in the
            folder are looked at, 5 us for each.
        encoding: of text, by its name in Python or Java, such as `latin-1` or `windows-1252`. A file with a byte that
            does not decode is set aside whole: nothing on the tape is a question mark in place of what came. UTF-16
            goes with `multiline=True`.
        sep: the one character between the fields of a CSV line, such as `;`.
        quote: the character around a field that holds separators; None when quotes are plain text.
        escape: what stands before a quote inside quotes: another quote, or a backslash.
        multiline: whether a field in quotes may hold line breaks. Spark then reads a file by one task. Without it, a
            file with a quote that does not close within its line is set aside.
        null_value: a text that stands for nothing, such as `NA`. Nothing between two separators is always null, and
            a text without a character, `""`, is a text of no length: unless `null_value=""`.
        overwritten: what a file is that has the name of one on the tape, and other bytes: `read` takes it as another
            delivery, whose rows come beside those of the first; `name` never reads it, and a check says so.
        pattern: which files are meant, by their names without the folder: `*.csv`, `orders-[0-9]*.json.gz`. Others are
            passed by, and may lie there.
        recursive: whether files in subfolders are read too.
        folder_columns: whether folders called `key=value` give their files' rows a column `key`, of text. They stand in
            `_source.file` in any case. A file that has a column of that name itself is set aside.
        arrived: when a row arrived: `name`, by the date or time in the file's name, or else by the file's own time;
            `file`, by the file's own time; `column:<name>`, by a column of its rows, and when it is read where that is
            null or no time; `unknown`, for an archive that does not say: `_arrived_at` is null then, and the row lies
            in the slice of the day it is read.

    Files and folders whose names begin with a dot or an underscore are not seen:
    write under such a name, then rename.
    """

    changes_no_row = ("origin", "archive")
    always_told = ("columns", "folder", "format", "header")

    folder: str
    format: FileFormat = "csv"
    header: bool = False
    columns: tuple[str, ...] = ()
    archive: bool = False
    encoding: str = "utf-8"
    sep: str = ","
    quote: str | None = '"'
    escape: str = '"'
    multiline: bool = False
    null_value: str | None = None
    overwritten: Overwritten = "read"
    pattern: str = "*"
    recursive: bool = True
    folder_columns: bool = False
    arrived: str = "name"
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if self.origin is None:
            object.__setattr__(self, "origin", origin_of_caller(depth=2))
        path = PurePosixPath(self.folder)
        if not self.folder or path.is_absolute() or ".." in path.parts:
            self._refuse(
                f"Files folder must lie below the landing folder; got {self.folder!r}",
                "Name a relative folder, such as 'orders'; the landing folder itself is a setting.",
            )
        if self.format not in get_args(FileFormat):
            self._refuse(f"unknown file format {self.format!r}", f"One of {', '.join(get_args(FileFormat))}.")
        if self.header and self.format != "csv":
            self._refuse(f"header=True goes with format='csv'; got format={self.format!r}", "Leave header out.")
        object.__setattr__(self, "columns", tuple(self.columns))
        if self.columns and not self.header:
            self._refuse("columns= goes with header=True: other files have no columns by name", "Leave columns out.")
        if self.overwritten not in get_args(Overwritten):
            self._refuse(
                f"overwritten must be 'read' or 'name'; got {self.overwritten!r}",
                "'read': other bytes under a known name are read too; 'name': a name is read once.",
            )
        if not self.pattern or "/" in self.pattern:
            self._refuse(
                f"pattern must be one of names, without a folder; got {self.pattern!r}",
                "Such as '*.csv'; files in subfolders are looked at by their names too.",
            )
        self._check_folders_and_arrival()
        self._check_encoding()
        self._check_csv_options()

    def _check_folders_and_arrival(self) -> None:
        for name in ("recursive", "folder_columns"):
            if not isinstance(getattr(self, name), bool):
                self._refuse(
                    f"{name} must be True or False; got {getattr(self, name)!r}", f"Leave {name} out, or mend it."
                )
        if self.folder_columns and not self.recursive:
            self._refuse("folder_columns=True goes with subfolders", "Leave recursive=False out.")
        if not isinstance(self.arrived, str) or (self.arrived not in _ARRIVED and not self.arrived_column):
            self._refuse(
                f"arrived must be one of {', '.join(map(repr, _ARRIVED))} or 'column:<name>'; got {self.arrived!r}",
                "'name': by the name of the file; 'column:sent_at': by that column of its rows.",
            )
        if self.arrived_column and self.keeps_lines:
            what = f"arrived={self.arrived!r} goes with files that have columns: csv with header=True, or parquet"
            self._refuse(what, "Have the name or the time of the file say when its rows arrived.")

    def _check_encoding(self) -> None:
        name = pythons_name(self.encoding)
        if name is None:
            what = f"encoding must be one that Python and Java read alike; got {self.encoding!r}"
            self._refuse(what, f"One of {', '.join(CHARSETS)}, or another name of one of these.")
        if name != "utf-8" and self.format == "parquet":
            self._refuse("encoding= goes with text; Parquet files know their own", "Leave encoding out.")
        if is_wide(self.encoding) and not (self.header and self.multiline):
            what = f"encoding={self.encoding!r} can be read only with header=True and multiline=True"
            self._refuse(what, "Spark finds lines by single bytes: have the files sent as UTF-8, or add both.")

    def _check_csv_options(self) -> None:
        given = [name for name, default in _CSV_DEFAULTS.items() if getattr(self, name) != default]
        if given and not self.header:
            self._refuse(
                f"{given[0]}= goes with header=True: the lines of other files are kept raw",
                f"Leave {given[0]} out, or add header=True to format='csv'.",
            )
        for name in ("sep", "quote", "escape"):
            value = getattr(self, name)
            if value is None and name == "quote":
                continue
            if not isinstance(value, str) or len(value) != 1 or value in "\r\n\0":
                hint = "Such as sep=';', sep='\\t', quote='\"', escape='\\\\'; quote=None where quotes are plain text."
                self._refuse(f"{name} must be one character, and no line break; got {value!r}", hint)
        if self.sep in (self.quote, self.escape):
            hint = "Name the character that stands between two fields."
            self._refuse(f"sep must differ from quote and escape; got {self.sep!r} for both", hint)
        if self.multiline and self.quote is None:
            self._refuse("multiline=True goes with quotes: only these can hold a line break", "Leave quote=None out.")

    def _refuse(self, what: str, hint: str) -> None:
        raise DeclarationError(what, origin=self.origin, hint=hint)

    @property
    def arrived_column(self) -> str | None:
        """The column that says when a row arrived; None where something else does."""
        word, _, column = self.arrived.partition(":")
        return column if word == "column" and column else None

    @property
    def keeps_lines(self) -> bool:
        """Whether each line is kept raw in the column `value`."""
        return self.format in _LINE_FORMATS or (self.format == "csv" and not self.header)

    @property
    def gives(self) -> Mapping[str, Form]:
        """The declared columns, or the raw line."""
        return dict.fromkeys(("value",) if self.keeps_lines else self.columns, "text")

    @property
    def label(self) -> str:
        """The name of this source in metadata and in transaction ids: `files:` and the folder."""
        return f"files:{self.folder}"

    @property
    def described(self) -> str:
        """What it is, in the words that people are shown: folder and format."""
        return f"{self.label}, {self.format}"

    def clash(self, other: DeclaredSource) -> str | None:
        """Return why files would be read twice: the other's folder is the same, or one is looked into by the other."""
        if not isinstance(other, Files):
            return super().clash(other)
        mine, theirs = PurePosixPath(self.folder), PurePosixPath(other.folder)
        inside = (mine.is_relative_to(theirs) and (other.recursive or mine == theirs)) or (
            theirs.is_relative_to(mine) and (self.recursive or mine == theirs)
        )
        return f"files of {str(mine)!r} and {str(theirs)!r} would be read twice: one lies in the other" * inside or None
