"""What a landed file is, seen without Spark: its columns, and whether it can be read to its end."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kappa_assets.declare.source import Files
from kappa_assets.sources.column_names import RESERVED, column_name, repeated, same_name
from kappa_assets.sources.files.landed_text import Unreadable, check_text, open_unpacked, other_separator

_SPARKS_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"
"""Where Spark writes its own schema into a footer; reading, it takes the types from there."""
_DAMAGED = (OSError, EOFError, zlib.error, pa.ArrowException)
_GONE = (FileNotFoundError, NotADirectoryError)
_WAS_GONE = "was gone before it was read"
_OF_THE_FILE = frozenset(
    getattr(errno, name, None)  # EUCLEAN is Linux' own
    for name in ("EISDIR", "ELOOP", "ENAMETOOLONG", "EINVAL", "EILSEQ", "EBADMSG", "EUCLEAN")
)
"""What is the same at the next try: no plain file, a name that cannot be, content that the disk knows as broken."""

Fits = Callable[[tuple[str, ...]], bool]
"""Whether the tables below work on these columns, and not on those that the tape has."""


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


def fits_nothing(columns: tuple[str, ...]) -> bool:
    """Say of no columns that they fit: the answer where nothing reads the tape."""
    del columns
    return False


def sort_files(source: Files, paths: Iterable[str], known_columns: frozenset[str], fits: Fits = fits_nothing) -> Sorted:
    """Group the files that can be read by their columns, and set aside the others.

    `known_columns` are the payload columns the tape has already (none for a new one): a file that shares none of them
    is foreign, unless it `fits` what reads the tape. An empty file has nothing to keep and joins no group.
    """
    known = {same_name(c) for c in known_columns}
    groups: dict[tuple[str, ...], list[str]] = {}
    aside: list[SetAside] = []
    for path in sorted(paths):
        try:
            columns = _columns(source, Path(path), known)
            if columns is not None:
                if columns not in groups:
                    _check_is_ours(columns, known, fits)
                groups.setdefault(columns, []).append(path)
        except Unreadable as error:
            aside.append(SetAside(path, str(error), error.for_now))
    return Sorted({k: tuple(v) for k, v in groups.items()}, tuple(aside))


def files_of_one_schema(paths: Iterable[str]) -> list[tuple[str, ...]]:
    """Return Parquet files grouped by the schema in their footers: Spark reads the types from one of them.

    In their order, but those that leave a type open come last: the others may tell it.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    for path in paths:
        schema = pq.read_schema(path)
        fields = tuple((field.name, str(field.type)) for field in schema)
        groups.setdefault((fields, (schema.metadata or {}).get(_SPARKS_SCHEMA)), []).append(path)
    return [tuple(group) for group in sorted(groups.values(), key=lambda group: _leaves_a_type_open(group[0]))]


def _leaves_a_type_open(path: str) -> bool:
    return any("null" in str(field.type) for field in pq.read_schema(path))


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


def _columns(source: Files, path: Path, known: set[str]) -> tuple[str, ...] | None:
    """Return the columns of a file, () for line formats, None for an empty file."""
    try:
        if path.stat().st_size == 0:
            return None
        if source.format == "parquet":
            return _checked([column_name(n) for n in pq.read_schema(path).names])
        names = check_text(source, path)
    except _GONE as error:
        raise Unreadable(_WAS_GONE) from error
    except _DAMAGED as error:
        passes = may_pass(error)
        raise Unreadable(f"cannot be {'opened' if passes else 'read to its end'}: {error}", for_now=passes) from error
    if not names:
        return names
    columns = _checked([column_name(n) for n in names])
    separator = other_separator(source, names[0]) if len(names) == 1 else None
    if separator is not None and not known & {same_name(c) for c in columns}:
        raise Unreadable(f"its header is the one column {names[0]!r}: is sep={separator!r} what separates it?")
    return columns


def _checked(names: list[str]) -> tuple[str, ...]:
    if not names or not all(names) or repeated(names):
        raise Unreadable(f"its header has empty or repeated names: {', '.join(names)[:200]!r}")
    ours = RESERVED & {same_name(n) for n in names}
    if ours:
        raise Unreadable(f"its columns {', '.join(sorted(ours))} have names that Bronze gives to its own")
    return tuple(names)


def _check_is_ours(columns: tuple[str, ...], known: set[str], fits: Fits) -> None:
    if known and columns and not known & {same_name(c) for c in columns} and not fits(columns):
        raise Unreadable(f"shares no column with the tape; it has {', '.join(columns)[:200]}")


def _read_whole(source: Files, path: Path) -> None:
    if source.format == "parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            del batch
        return
    with open_unpacked(path) as stream:
        while stream.read(1 << 22):
            pass
