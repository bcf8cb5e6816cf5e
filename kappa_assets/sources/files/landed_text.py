"""Landed text, checked to its last byte before Spark reads it: encoding, quotes, header.

Spark replaces what does not decode by U+FFFD, and takes a field that goes on in the next line for two records, both
without a word. 100 MB cost 0.1 CPU seconds as lines, 0.3 as CSV and 0.8 where every field is in quotes.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from kappa_assets.declare.charsets import is_wide
from kappa_assets.declare.source import Files

_PIECE = 1 << 22
_HEADER_LIMIT = 1 << 20
_LONGEST_FIELD = 1 << 26
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NO_CSV = re.compile(r"\s*(?:<(?:!doctype|\?xml|html|head|body)\b|\{\s*\"|\[\s*[{\[])", re.IGNORECASE)
_UNPACKED = (".gz", ".bz2", ".zst")
_PACKED = frozenset((*_UNPACKED, ".7z", ".br", ".deflate", ".lz4", ".lzma", ".lzo", ".rar", ".snappy", ".sz", ".tar"))
_PACKED |= {".tgz", ".xz", ".z", ".zip"}
"""Spark unpacks some of these too, in forms of Hadoop's own: a plain `.snappy` or `.lz4` file ends its whole process,
out of memory."""
_SIGNS = {
    b"\xff\xfe": "begins with the mark of UTF-16: encoding='utf-16' and multiline=True read that",
    b"\xfe\xff": "begins with the mark of UTF-16: encoding='utf-16' and multiline=True read that",
    b"\x1f\x8b": "is compressed with gzip, and its name must end in .gz",
    b"BZh": "is compressed with bzip2, and its name must end in .bz2",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd, and its name must end in .zst",
    b"PK\x03\x04": "is a zip archive, or a spreadsheet",
    b"PAR1": "is a Parquet file",
}
_OTHER_SEPARATORS = ",;\t|"


class Unreadable(Exception):
    """Why a file is set aside, and whether the next try may find it sound."""

    def __init__(self, reason: str, *, for_now: bool = False) -> None:
        super().__init__(reason)
        self.for_now = for_now


def open_unpacked(path: Path) -> BinaryIO:
    """Open a landed text file, unpacked by its ending."""
    match path.suffix:
        case ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case ".bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case ".zst":
            return cast("BinaryIO", pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")


def check_text(source: Files, path: Path) -> tuple[str, ...] | None:
    """Read a text file to its end; return the names in its header, () for line formats, None without content.

    Raises Unreadable for what cannot be kept as it came, OSError and the like for a damaged file.
    """
    _check_ending(path)
    with open_unpacked(path) as stream:
        pieces = _decoded(source, stream)
        if source.keeps_lines:
            for _ in pieces:
                pass
            return ()
        first = next(pieces, "")
        names = _header(source, first)
        if names is None and any(piece.strip() for piece in pieces):
            raise _blank_header()
        _check_quotes(source, len(names or ()), itertools.chain((first,), pieces))
    return names


def _check_ending(path: Path) -> None:
    ending = path.suffix
    if ending.lower() in _PACKED and ending not in _UNPACKED:
        raise Unreadable(f"is packed as {ending}; {', '.join(_UNPACKED)} are unpacked, in small letters")


def _decoded(source: Files, stream: BinaryIO) -> Iterator[str]:
    """Yield a file's text. Raises Unreadable, with the place, at the first byte that does not decode."""
    decoder = codecs.getincrementaldecoder(source.encoding)("strict")
    done = lines = 0
    while True:
        raw = stream.read(_PIECE)
        if not done:
            _check_signs(source, raw)
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            offset = done - (len(error.object) - len(raw)) + error.start
            line = lines + before.count(b"\n") + 1
            raise Unreadable(
                f"is not {source.encoding} text: line {line} has the byte {error.object[error.start]:02x} at {offset}; "
                "another encoding= may read it"
            ) from error
        if text:
            yield text if done else text.removeprefix("\ufeff")
        if not raw:
            return
        done += len(raw)
        lines += raw.count(b"\n")


def _check_signs(source: Files, raw: bytes) -> None:
    wide = is_wide(source.encoding)
    for sign, what in _SIGNS.items():
        if raw.startswith(sign) and not (wide and sign in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise Unreadable(what)
    if codecs.lookup(source.encoding).name == "utf-16" and raw[:2] not in (
        codecs.BOM_UTF16_LE,
        codecs.BOM_UTF16_BE,
        b"",
    ):
        raise Unreadable("has no byte order mark: encoding='utf-16-le' or 'utf-16-be' read such a file")


def _header(source: Files, text: str) -> tuple[str, ...] | None:
    """Return the names in the first line, None when there is none."""
    line, _, rest = text.partition("\n")
    if not line.strip():
        if rest.strip():
            raise _blank_header()
        return None
    if _CONTROL.search(line.replace(source.sep, "")[:_HEADER_LIMIT]):
        raise Unreadable("its first line holds control characters: not a CSV file")
    start = io.StringIO(text[:_HEADER_LIMIT], newline="") if source.multiline else [line[:_HEADER_LIMIT]]
    quoting: Literal[0, 3] = csv.QUOTE_NONE if source.quote is None else csv.QUOTE_MINIMAL
    doubled = source.escape == source.quote
    reader = csv.reader(
        start,
        delimiter=source.sep,
        quotechar=source.quote,
        quoting=quoting,
        doublequote=doubled,
        escapechar=None if doubled or source.quote is None else source.escape,
    )
    try:
        names = next(reader)
    except csv.Error as error:
        raise Unreadable(f"its first line is no CSV header: {error}") from error
    if _NO_CSV.match(line):
        raise Unreadable(f"is a page or a document, no CSV: it begins with {line.strip()[:40]!r}")
    return tuple(names)


def other_separator(source: Files, name: str) -> str | None:
    """Return the separator that a header of one column seems to have, or None."""
    return next((s for s in _OTHER_SEPARATORS if s != source.sep and s in name.strip()), None)


def _blank_header() -> Unreadable:
    return Unreadable("its first line is blank; the names of the columns belong there")


def _check_quotes(source: Files, columns: int, pieces: Iterator[str]) -> None:
    """Raise Unreadable where a quote does not close: in its line, or with `multiline` in the file.

    A last line that breaks off in quotes before it has all fields is as any line with too few: Spark marks it.
    """
    if source.quote is None:
        for _ in pieces:
            pass
        return
    fields = _complete_fields(source)
    begun = rest = ""  # of the line in which a piece ends: its complete fields, and what follows them
    line = 1
    for piece in pieces:
        if not rest and source.quote not in piece:
            end, text = len(piece) - len(_after_last_break(piece)), piece
        else:
            text = rest + piece
            end = fields.match(text).end()  # type: ignore[union-attr]  # it matches nothing at least
        done, rest = text[:end], text[end:]
        line += done.count("\n")
        begun = _after_last_break(done) if _has_break(done) else begun + done
        if (len(rest) > _LONGEST_FIELD and rest[0] == source.quote) or (not source.multiline and _has_break(rest)):
            raise _unclosed(source, line)
    closed = _last_field(source).fullmatch(rest)
    if not closed and (source.multiline or begun.count(source.sep) + 1 >= columns):
        raise _unclosed(source, line)


def _has_break(text: str) -> bool:
    return "\n" in text or "\r" in text


def _after_last_break(text: str) -> str:
    return text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]


def _quoted(source: Files) -> str:
    """Return the pattern of a field in quotes; after the quote that closes it Spark reads on to the separator."""
    assert source.quote is not None  # noqa: S101 -- for mypy; nobody asks without quotes
    quote, escape, sep = (re.escape(c) for c in (source.quote, source.escape, source.sep))
    end = "" if source.multiline else r"\r\n"
    if source.escape == source.quote:
        inside = f"[^{quote}{end}]*+(?:{quote}{quote}[^{quote}{end}]*+)*+"
    else:
        escaped = f"{escape}[^{end}]" if end else f"{escape}(?s:.)"
        inside = f"[^{quote}{escape}{end}]*+(?:{escaped}[^{quote}{escape}{end}]*+)*+"
    # Where an escape follows that quote, or one after it, Spark takes the end of the line for part of the field.
    then = "" if source.escape == source.quote else f"(?<!{quote}(?={escape}))"
    return rf"{quote}{inside}{quote}(?:{then}[^{sep}\r\n])*+"


def _complete_fields(source: Files) -> re.Pattern[str]:
    """Return the pattern of all fields from the start on that end in a separator or a line break.

    It stops at a quote that does not close. A field may begin without a quote and hold one: that is plain text.
    """
    quote, sep = re.escape(source.quote or ""), re.escape(source.sep)
    end = rf"[{sep}\r\n]"
    without_quotes = rf"[^{quote}]*{end}"
    with_a_stray_one = rf"[^{quote}{sep}\r\n][^{sep}\r\n]*+{end}"
    return re.compile(f"(?:{_quoted(source)}{end}|{without_quotes}|{with_a_stray_one})*+")


def _last_field(source: Files) -> re.Pattern[str]:
    quote, sep = re.escape(source.quote or ""), re.escape(source.sep)
    return re.compile(rf"(?:{_quoted(source)}|[^{quote}{sep}\r\n][^{sep}\r\n]*+)?")


def _unclosed(source: Files, line: int) -> Unreadable:
    if source.multiline:
        return Unreadable(f"has a quote in line {line} that does not close: what follows would be one field")
    return Unreadable(
        f"has a quote in line {line} that does not close in that line: multiline=True reads line breaks in quotes, "
        "quote=None takes quotes for plain text"
    )
