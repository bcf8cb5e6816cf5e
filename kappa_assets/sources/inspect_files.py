"""What a landed file is, seen without Spark: its header, and whether it can be read at all."""

from __future__ import annotations

import csv
import errno
import gzip
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kappa_assets.declare.source import Files

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NOT_IN_A_NAME = re.compile(r"[ ,;{}()\n\t=.`\"]+")
_HEADER_LIMIT = 1 << 20
_SPARKS_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"
"""Where Spark writes its own schema into a footer; reading, it takes the types from there."""
RESERVED = frozenset(
    ("_source", "_batch_id", "_row", "_ingested_at", "_arrived_at", "_arrival_date", "_malformed", "_metadata")
)
_DAMAGED = (OSError, EOFError, zlib.error, pa.ArrowException)
_GONE = (FileNotFoundError, NotADirectoryError)
_WAS_GONE = "was gone before it was read"
_OF_THE_FILE = frozenset(
    getattr(errno, name, None)  # EUCLEAN is Linux' own
    for name in ("EISDIR", "ELOOP", "ENAMETOOLONG", "EINVAL", "EILSEQ", "EBADMSG", "EUCLEAN")
)
"""What is the same at the next try: no plain file, a name that cannot be, content that the disk knows as broken."""


@dataclass(frozen=True)
class SetAside:
    """A file that could not be taken, and why. It stays where it landed."""

    file: str
    reason: str
    for_now: bool = False
    """Whether the next try may find it sound: a fault of rights, of the disk, of the network, not of the content."""


@dataclass(frozen=True)
class Sorted:
    """The files of one batch: those to read, grouped by their columns (none for line formats), and those set aside."""

    groups: Mapping[tuple[str, ...], tuple[str, ...]]
    set_aside: tuple[SetAside, ...]


def sort_files(source: Files, paths: Iterable[str], known_columns: frozenset[str]) -> Sorted:
    """Group the files that can be read by their columns, and set aside the others.

    `known_columns` are the payload columns the tape has already (none for a new one): a file that shares none of them
    is foreign. An empty file has nothing to keep and joins no group.
    """
    known = {c.lower() for c in known_columns}
    groups: dict[tuple[str, ...], list[str]] = {}
    aside: list[SetAside] = []
    for path in sorted(paths):
        try:
            columns = _columns(source, Path(path))
        except _Unreadable as error:
            aside.append(SetAside(path, str(error), error.for_now))
            continue
        if columns is None:
            continue
        if known and columns and not known & {c.lower() for c in columns}:
            reason = f"shares no column with the tape; it has {', '.join(columns)[:200]}"
            aside.append(SetAside(path, reason))
        else:
            groups.setdefault(columns, []).append(path)
    return Sorted({k: tuple(v) for k, v in groups.items()}, tuple(aside))


def files_of_one_schema(paths: Iterable[str]) -> list[tuple[str, ...]]:
    """Return Parquet files grouped by the schema in their footers, in their order: Spark reads the types from one."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for path in paths:
        schema = pq.read_schema(path)
        fields = tuple((field.name, str(field.type)) for field in schema)
        groups.setdefault((fields, (schema.metadata or {}).get(_SPARKS_SCHEMA)), []).append(path)
    return [tuple(group) for group in groups.values()]


def find_unreadable(source: Files, paths: Iterable[str]) -> list[SetAside]:
    """Read every file to its end and return those that break off or are damaged. Slow: for after a failed read."""
    found = []
    for path in paths:
        try:
            _read_whole(source, Path(path))
        except _GONE:
            found.append(SetAside(path, _WAS_GONE))
        except (*_DAMAGED, ValueError) as error:
            found.append(SetAside(path, f"cannot be read to its end: {error}", may_pass(error)))
    return found


def may_pass(error: Exception) -> bool:
    """Return whether a read failed of what surrounds the file: EACCES, EIO, ESTALE, EMFILE, ETIMEDOUT and the like.

    An OSError without a number comes from a library that did not like the content (gzip, Arrow).
    """
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_THE_FILE


class _Unreadable(Exception):
    """Why a file is set aside, and whether the next try may find it sound."""

    def __init__(self, reason: str, *, for_now: bool = False) -> None:
        super().__init__(reason)
        self.for_now = for_now


def _columns(source: Files, path: Path) -> tuple[str, ...] | None:
    """Return the columns of a file, () for line formats, None for an empty file."""
    try:
        if path.stat().st_size == 0:
            return None
        if source.format == "parquet":
            return _checked([column_name(n) for n in pq.read_schema(path).names])
        if source.keeps_lines:
            with path.open("rb") as stream:
                stream.read(1)  # a fault of rights or of the disk shows here, and not as one of Spark's
            return ()
        return _header(path)
    except _GONE as error:
        raise _Unreadable(_WAS_GONE) from error
    except _DAMAGED as error:
        raise _Unreadable(f"cannot be opened: {error}", for_now=may_pass(error)) from error


def _header(path: Path) -> tuple[str, ...] | None:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        raw = stream.readline(_HEADER_LIMIT)
        rest = b"" if raw.strip() else stream.read(_HEADER_LIMIT)
    if not raw.strip() and not rest.strip():
        return None
    if not raw.strip():
        raise _Unreadable("its first line is blank; the names of the columns belong there")
    try:
        line = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable("its first line is not UTF-8 text") from error
    if _CONTROL.search(line):
        raise _Unreadable("its first line holds control characters: not a CSV file")
    return _checked([column_name(n) for n in _fields(line)])


def _checked(names: list[str]) -> tuple[str, ...]:
    if not names or not all(names) or len({n.lower() for n in names}) < len(names):
        raise _Unreadable(f"its header has empty or repeated names: {', '.join(names)[:200]!r}")
    ours = RESERVED & {n.lower() for n in names}
    if ours:
        raise _Unreadable(f"its columns {', '.join(sorted(ours))} have names that Bronze gives to its own")
    return tuple(names)


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        raise _Unreadable(f"its first line is no CSV header: {error}") from error


def column_name(name: str) -> str:
    """Return a header's name without the characters Delta refuses in column names."""
    return _NOT_IN_A_NAME.sub("_", name.strip())


def _read_whole(source: Files, path: Path) -> None:
    if source.format == "parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            del batch
        return
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        while stream.read(1 << 22):
            pass
