"""Landed text, checked to its last byte before Spark reads it; Spark itself only where it must agree."""

from __future__ import annotations

import bz2
import gzip
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Files
from kappa_assets.sources.files import landed_text
from kappa_assets.sources.files.inspect_files import sort_files
from kappa_assets.sources.files.landed_text import Unreadable, check_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LINES = Files("o", format="text")


def csv_source(**options: Any) -> Files:
    return Files("o", format="csv", header=True, **options)


def reason(source: Files, path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        check_text(source, path)
    except Unreadable as error:
        return str(error)
    return ""


@pytest.mark.parametrize("source", [LINES, csv_source(), csv_source(multiline=True)])
@pytest.mark.parametrize("at", [0, 1, 5_000, 70_000])
def test_the_first_byte_that_does_not_decode_is_told_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Files, at: int
) -> None:
    monkeypatch.setattr(landed_text, "_PIECE", 1_000)
    text = "id,country\n" + "".join(f"{n},Åland\n" for n in range(at))
    content = text.encode() + b"x,Troms\xf8\nend,\xff\n"
    place = f"line {at + 2} has the byte f8 at {len(text.encode()) + 7}; another encoding= may read it"
    assert reason(source, tmp_path / "x", content) == f"is not utf-8 text: {place}"
    assert reason(source, tmp_path / "x.gz", gzip.compress(content)) == f"is not utf-8 text: {place}"
    assert reason(source, tmp_path / "x", content[:-6].replace(b"\xf8", "ø".encode())) == ""
    assert "has the byte c3" in reason(source, tmp_path / "x", text.encode() + b"x,cut \xc3")


@given(st.binary(max_size=40), st.integers(1, 7))
def test_a_file_is_taken_exactly_when_all_its_bytes_decode(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, piece: int
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x"
    for encoding in ("utf-8", "cp1252", "shift_jis", "gb18030"):
        try:
            content.decode(encoding)
            decodes = True
        except UnicodeDecodeError:
            decodes = False
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(landed_text, "_PIECE", piece)
            patched.setattr(landed_text, "_SIGNS", {})
            assert (reason(Files("o", format="text", encoding=encoding), path, content) == "") == decodes


@pytest.mark.parametrize(
    ("source", "content", "expected"),
    [
        (LINES, "x\n".encode("utf-16"), "begins with the mark of UTF-16: encoding='utf-16'"),
        (csv_source(multiline=True, encoding="utf-16"), "id\n1\n".encode("utf-16"), ""),
        (csv_source(multiline=True, encoding="utf-16"), "id\n1\n".encode("utf-16-be"), "has no byte order mark"),
        (csv_source(multiline=True, encoding="utf-16-le"), "\ufeffid\n1\n".encode("utf-16-le"), ""),
        (csv_source(), b"\xef\xbb\xbfid\n1\n", ""),
        (csv_source(encoding="latin-1"), b"id\nC\xf4te\n", ""),
        (csv_source(encoding="windows-1252"), b"id\n\x80 \x81\n", "line 2 has the byte 81 at 5"),
        (LINES, gzip.compress(b"x", mtime=0), "is compressed with gzip, and its name must end in .gz"),
        (LINES, b"PAR1\x15\x04", "is a Parquet file"),
        (csv_source(), b"customer;amount\nanna;2\n", "is sep=';' what separates it?"),
        (csv_source(), b"customer\tamount\n", "is sep='\\t' what separates it?"),
        (csv_source(sep=";"), b"customer,amount\n", "is sep=',' what separates it?"),
        (csv_source(sep=";"), b"customer;amount, EUR\n", ""),
        (csv_source(), b"  <!DOCTYPE html>\n<p>a,b</p>\n", "is a page or a document, no CSV"),
        (csv_source(), b"<html><body>504, sorry</body></html>\n", "is a page or a document, no CSV"),
        (csv_source(), b'{"error": "gone", "code": 504}\n', "is a page or a document, no CSV"),
        (csv_source(), b"<1h,1h-2h\n1,2\n", ""),
        (csv_source(), b'a,b\n1,"2\n3,4"\n', "has a quote in line 2 that does not close in that line"),
        (csv_source(), b'a,b\n1,"2\r3,4"\n', "has a quote in line 2 that does not close"),
        (csv_source(multiline=True), b'a,b\n1,"2\n3,4"\n', ""),
        (csv_source(multiline=True), b'"a\nb",c\n1,2\n', ""),
        (
            csv_source(multiline=True),
            b'a,b\n1,2\n3,"4\n5,6\n',
            "has a quote in line 3 that does not close: what follows",
        ),
        (csv_source(), b'a,b,c\n1,2,3\n4,"half a li', ""),
        (csv_source(), b'a,b\n4,"half a li', "quote in line 2"),
        (csv_source(), b'a,b,c\n4,"half\n5,6,7\n', "quote in line 2"),
        (csv_source(quote=None), b'a,b\n1,"2\n', ""),
        (csv_source(quote="'"), b"a,b\n1,'2\n", "quote in line 2"),
        (csv_source(quote="'"), b'a,b\n1,"2\n', ""),
        (csv_source(), b'a,b\n5" disk,"say ""hi"""\n"x"y,2\n', ""),
        (csv_source(escape="\\"), b'a,b\n1,"say \\"hi\\""\n', ""),
        (csv_source(escape="\\"), b'a,b\n1,"say \\"hi\\"\n', "quote in line 2"),
    ],
)
def test_what_text_is_and_what_would_read_it_is_told(
    tmp_path: Path, source: Files, content: bytes, expected: str
) -> None:
    (tmp_path / "x").write_bytes(content)
    found = sort_files(source, [str(tmp_path / "x")], frozenset())
    assert expected in (found.set_aside[0].reason if found.set_aside else "")
    assert bool(found.set_aside) == bool(expected)


def test_a_header_of_one_column_that_the_tape_has_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"customer;amount\nanna;2\n")
    found = sort_files(csv_source(), [str(tmp_path / "x")], frozenset({"customer_amount"}))
    assert list(found.groups) == [("customer_amount",)]


def test_text_is_unpacked_by_its_ending_or_refused_by_it(tmp_path: Path) -> None:
    content = b"id,country\n1,Malta\n"
    packed = {
        "a.csv.gz": gzip.compress(content) + gzip.compress(b"2,Malta\n"),
        "a.csv.bz2": bz2.compress(content),
        "a.csv.zst": pa.compress(content, codec="zstd", asbytes=True),
    }
    for name, data in packed.items():
        (tmp_path / name).write_bytes(data)
        assert check_text(csv_source(), tmp_path / name) == ("id", "country")
        (tmp_path / name).write_bytes(data[:-3])
        (aside,) = sort_files(csv_source(), [str(tmp_path / name)], frozenset()).set_aside
        assert aside.reason.startswith("cannot be read to its end: ")
    for name in ("a.csv.snappy", "a.csv.lz4", "a.csv.deflate", "a.csv.zip", "a.csv.GZ", "a.csv.xz"):
        assert "are unpacked, in small letters" in reason(LINES, tmp_path / name, content)


def scattered(dice: random.Random, alphabet: str, length: int) -> str:
    return "".join(dice.choice(alphabet) for _ in range(dice.randrange(length)))


@pytest.mark.parametrize("options", [{}, {"sep": ";", "quote": "'"}, {"escape": "\\"}])
def test_a_line_is_closed_exactly_when_spark_ends_its_last_field_with_it(
    spark: SparkSession, tmp_path: Path, options: dict[str, str]
) -> None:
    source = csv_source(**options)
    alphabet = f"{source.sep}{source.quote}{source.escape}a "
    dice = random.Random(1)
    lines = [scattered(dice, alphabet, 9) for _ in range(250)]
    end = f"{source.sep}".join(["END"] * 3)
    (tmp_path / "in").mkdir()
    for number, line in enumerate(lines):
        (tmp_path / "in" / f"{number}.csv").write_text(f"x{source.sep}{line}\n{end}\n")
    reader = spark.read.schema("a string, b string, c string, _bad string").option("columnNameOfCorruptRecord", "_bad")
    for name in ("sep", "quote", "escape"):
        reader = reader.option(name, getattr(source, name))
    read = reader.option("multiLine", "true").csv(str(tmp_path / "in"))
    ended = read.where("a = 'END' and c = 'END'").selectExpr("_metadata.file_name as name").coalesce(1).collect()
    closed = {int(row.name.removesuffix(".csv")) for row in ended}
    assert 20 < len(closed) < 230
    header = f"a{source.sep}b\n"
    for number, line in enumerate(lines):
        content = f"{header}x{source.sep}{line}\n{end}\n".encode()
        assert (reason(source, tmp_path / "x", content) == "") == (number in closed), line
