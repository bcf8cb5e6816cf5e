"""What a landed file is, without Spark: read, empty, foreign or damaged, each alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kappa_assets import Files
from kappa_assets.columns import OF_THE_TAPE
from kappa_assets.sources.column_names import RESERVED
from kappa_assets.sources.files.inspect_files import find_unreadable, sort_files

CSV = Files("orders", format="csv", header=True)
LINES = Files("orders", format="json")
PARQUET = Files("orders", format="parquet")
KNOWN = frozenset({"id", "Country"})


def outcome(source: Files, path: Path, known: frozenset[str] = KNOWN) -> tuple[str, ...] | str | None:
    """Return a file's columns, the reason it is set aside, or None when it has nothing to keep."""
    found = sort_files(source, [str(path)], known)
    assert len(found.groups) + len(found.set_aside) <= 1
    for columns, files in found.groups.items():
        assert files == (str(path),)
        return columns
    for aside in found.set_aside:
        assert aside.file == str(path)
        return aside.reason
    return None


def csv_file(tmp_path: Path, content: bytes, name: str = "x.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (b"id,Country\n1,Malta\n", ("id", "Country")),
        (b"Country,id\r\nMalta,1\r\n", ("Country", "id")),
        (b"\xef\xbb\xbfid,Country\n", ("id", "Country")),
        (b" id , Country \n", ("id", "Country")),
        (b'"id","unit price (GBP)"\n', ("id", "unit_price_GBP_")),
        (b"id,COUNTRY\n", ("id", "COUNTRY")),
        (b"COUNTRY\n", ("COUNTRY",)),
        ("id,Größe\n".encode(), ("id", "Größe")),
        (b"id", ("id",)),
    ],
)
def test_a_header_gives_the_columns(tmp_path: Path, header: bytes, columns: tuple[str, ...]) -> None:
    assert outcome(CSV, csv_file(tmp_path, header)) == columns
    zipped = csv_file(tmp_path, gzip.compress(header), "x.csv.gz")
    assert outcome(CSV, zipped) == columns


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n  \n"])
def test_a_file_without_content_has_nothing_to_keep(tmp_path: Path, content: bytes) -> None:
    assert outcome(CSV, csv_file(tmp_path, content)) is None
    assert outcome(CSV, csv_file(tmp_path, gzip.compress(content), "x.csv.gz")) is None
    assert outcome(CSV, csv_file(tmp_path, b"", "y.csv.gz")) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xef\xbb\xbf\n1,2\n", "first line is blank"),
        (b"a,b\n1,2\n", "shares no column with the tape; it has a, b"),
        (b"id,\n", "empty or repeated names"),
        (b"id,ID\n", "empty or repeated names"),
        (b"id,a.b,a b\n", "empty or repeated names"),
        (b"\n1,Malta\n", "first line is blank"),
        (b"id,_batch_id\n", "_batch_id have names that Bronze gives to its own"),
        (b"id,_SOURCE,_metadata\n", "_metadata, _source have names"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not utf-8 text: line 1 has the byte 89 at 0"),
        (b"PK\x03\x04\x14\x00\n", "is a zip archive"),
        (b"\x00\x01\x02\n", "control characters"),
        ("id,Country\n".encode("utf-16"), "begins with the mark of UTF-16: encoding='utf-16'"),
        (b'{"id": "' + b"x" * 200_000 + b'"}\n', "no CSV header: field larger"),
        (b"id,Country\r1,Malta\r", "no CSV header"),
        (b"<html><body>504 Gateway Time-out</body></html>\n", "is a page or a document, no CSV"),
    ],
)
def test_what_is_no_csv_of_this_tape_is_set_aside_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in str(outcome(CSV, csv_file(tmp_path, content)))


def test_a_new_tape_knows_no_foreign_columns(tmp_path: Path) -> None:
    assert outcome(CSV, csv_file(tmp_path, b"a,b\n"), frozenset()) == ("a", "b")


def damaged_gzips(tmp_path: Path, content: bytes) -> list[Path]:
    whole = gzip.compress(content, mtime=0)
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 0xFF
    contents = [whole[: len(whole) // 2], whole[:-4], bytes(broken), whole[:-8] + bytes(8), b"no gzip at all"]
    return [csv_file(tmp_path, c, f"{n}.csv.gz") for n, c in enumerate(contents)]


def test_every_kind_of_damaged_gzip_is_found_by_reading_it_whole(tmp_path: Path) -> None:
    content = b"id,Country\n" + b"".join(b"%d,Malta %d\n" % (n, n * n) for n in range(5_000))
    damaged = [str(p) for p in damaged_gzips(tmp_path, content)]
    sound = str(csv_file(tmp_path, gzip.compress(content), "sound.csv.gz"))
    found = find_unreadable(CSV, [sound, *damaged])
    assert [a.file for a in found] == damaged
    assert all(a.reason.startswith("cannot be read to its end: ") for a in found)


def test_a_gzip_whose_very_header_is_damaged_is_set_aside_at_once(tmp_path: Path) -> None:
    tail = gzip.compress(b"id,Country\n1,Malta\n")[10:]
    for number, content in enumerate((b"no gzip at all", b"\x1f\x8b", gzip.compress(b"")[:10] + b"\xff" * 40, tail)):
        assert "cannot be read" in str(outcome(CSV, csv_file(tmp_path, content, f"{number}.csv.gz")))


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    for source in (CSV, LINES, PARQUET):
        assert outcome(source, tmp_path / "gone.csv") == "was gone before it was read"


def test_files_are_grouped_by_columns_and_one_bad_file_spoils_no_other(tmp_path: Path) -> None:
    contents = {"a": b"id,Country\n", "b": b"Country,id\n", "c": b"id,Country\n", "d": b"\xff", "e": b"", "f": b"x\n"}
    paths = {name: str(csv_file(tmp_path, content, f"{name}.csv")) for name, content in contents.items()}
    found = sort_files(CSV, reversed(list(paths.values())), KNOWN)
    assert found.groups == {
        ("id", "Country"): (paths["a"], paths["c"]),
        ("Country", "id"): (paths["b"],),
    }
    assert [a.file for a in found.set_aside] == [paths["d"], paths["f"]]


def test_lines_are_kept_whatever_they_hold_if_they_are_text(tmp_path: Path) -> None:
    assert outcome(LINES, csv_file(tmp_path, b"\x00 no json\n")) == ()
    assert outcome(LINES, csv_file(tmp_path, b'{"a": 1}\nno json \xff\n')) == (
        "is not utf-8 text: line 2 has the byte ff at 17; another encoding= may read it"
    )
    assert outcome(Files("orders", format="csv"), csv_file(tmp_path, b"a,b\n")) == ()


def test_parquet_is_read_by_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": [1], "unit price": [2]}), path)
    assert outcome(PARQUET, path) == ("id", "unit_price")
    path.write_bytes(path.read_bytes()[:-20])
    assert "cannot be read" in str(outcome(PARQUET, path))
    assert [a.file for a in find_unreadable(PARQUET, [str(path)])] == [str(path)]


def test_every_column_that_bronze_adds_is_reserved() -> None:
    assert set(OF_THE_TAPE) < RESERVED
