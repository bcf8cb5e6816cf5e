"""Files as a shop should not send them: each kept raw or set aside alone, and the good lines still right."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kappa_assets import Pipeline
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.pipelines.retail.silver import sales
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.oracle import SALES, oracle, rows_of
from kappa_assets_tests.retail_files import COLUMNS
from kappa_assets_tests.whole.verify import (
    INVOICES,
    SILVER,
    read,
    set_aside,
    verify_bronze,
    verify_rejects,
    verify_tape,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

WITHOUT_GOLD = Pipeline.from_tables("retail", [invoices, sales])
HEADER = ",".join(COLUMNS) + "\n"
LINE = '536365,85123A,"HOLDER, ""WHITE""",6,2026-01-04 08:26:00,2.55,17850.0,Malta\n'
OTHER = "C536379,D,Discount,-1,2026-01-04 09:41:00,27.5,14527.0,EIRE\n"
GOOD = HEADER + LINE + OTHER
A_YEAR_AGO = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=365)
MANY = (HEADER + LINE * 2_000).encode()


def _flipped(content: bytes) -> bytes:
    whole = bytearray(gzip.compress(content, mtime=0))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


def _renamed(header: str) -> str:
    return header + LINE + OTHER


# Kept: what lands, and the same content as a tidy shop would have sent it (None: it is tidy).
KEPT: Mapping[str, tuple[bytes, str | None]] = {
    "2026-01-05.csv": (GOOD.encode(), None),
    "missing column.csv": (b"InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice\n1,a,2,2026-01-04,1.5\n", None),
    "reordered.csv": (b"UnitPrice,Quantity,StockCode,InvoiceNo,InvoiceDate\n1.5,2,a,1,2026-01-04\n", None),
    "one more column.csv": (f"{HEADER.strip()},Channel\n{LINE.strip()},web\n".encode(), None),
    "half written.csv": ((GOOD + LINE[:20]).encode(), None),
    "spaces and bom.csv": (b"\xef\xbb\xbf" + _renamed(HEADER.replace(",", " , ")).encode(), GOOD),
    "shouting.csv": (_renamed(HEADER.upper()).encode(), GOOD),
    "too few, too many.csv": ((HEADER + "1,a\n" + LINE.strip() + ",more,and more\n" + OTHER).encode(), None),
    "windows.csv": (GOOD.replace("\n", "\r\n").encode(), GOOD),
    "no newline at the end.csv": (GOOD.strip().encode(), None),
    "2026-13-45.csv": (GOOD.encode(), None),
    "2999-01-01.csv": (GOOD.encode(), None),
    "1066-10-14.csv": (GOOD.encode(), None),
    "a year old.csv": (GOOD.encode(), None),
    "orders[1]#?*{x}+%20.csv": (GOOD.encode(), None),
    "whole.csv.gz": (gzip.compress(GOOD.encode()), None),
    "only a header.csv": (HEADER.encode(), None),
}
# Set aside, with a part of the reason.
ASIDE: Mapping[str, tuple[bytes, str]] = {
    "truncated.csv.gz": (gzip.compress(MANY)[:-100], "cannot be read to its end"),
    "flipped bits.csv.gz": (_flipped(MANY), "cannot be read to its end"),
    "no gzip.csv.gz": (GOOD.encode(), "Not a gzipped file"),
    "bytes that are no utf-8.csv": (
        HEADER.encode() + LINE.encode().replace(b"Malta", b"C\xf4te"),
        "is not utf-8 text: line 2 has the byte f4",
    ),
    "an error page.csv": (b"<html><body>504 Gateway Time-out</body></html>\n", "is a page or a document, no CSV"),
    "semicolons.csv": (GOOD.replace(",", ";").encode(), "sep=';'"),
    "a line break.csv": ((GOOD + LINE.replace("HOLDER", "HOL\nDER")).encode(), "multiline=True"),
    "foreign.csv": (b"sensor,reading\n7,21.5\n", "shares no column with the tape; it has sensor, reading"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "is not utf-8 text"),
    "archive.csv": (b"PK\x03\x04\x14\x00\x08" + bytes(200), "is a zip archive"),
    "one long line.csv": (b'{"a": "' + b"x" * 200_000 + b'"}', "no CSV header"),
    "blank first line.csv": (b"\n" + GOOD.encode(), "first line is blank"),
    "our own column.csv": (b"InvoiceNo,_batch_id\n1,2\n", "_batch_id"),
    "same column twice.csv": (b"InvoiceNo,invoiceno\n1,2\n", "repeated names"),
    "a:colon.csv": (GOOD.encode(), "Spark cannot read it"),
    "wide.csv": ((HEADER + "x," * 30_000 + "\n").encode(), "Spark cannot read it"),
}
EMPTY: Mapping[str, bytes] = {"empty.csv": b"", "empty.csv.gz": gzip.compress(b""), "blank.csv": b"\n \n"}


@dataclass(frozen=True)
class Outcome:
    """The lake after everything landed, and tidy copies of the files it must have kept."""

    lake: Lake
    tidy: list[Path]

    def rows(self, file: str) -> list[dict[str, Any]]:
        return [r for r in read(self.lake.folder(INVOICES)).to_pylist() if r["_source"]["file"] == file]


@pytest.fixture(scope="module")
def outcome(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A first good file, then all others, in two drains."""
    root = tmp_path_factory.mktemp("bad")
    landing, tidy = root / "landing" / "invoices", root / "tidy"
    landing.mkdir(parents=True)
    tidy.mkdir()
    setting = Setting(spark, Lake.at(root / "lake"), root / "landing")
    for name, (content, plain) in KEPT.items():
        (tidy / name).write_bytes(content if plain is None else plain.encode())
    (landing / "2026-01-05.csv").write_bytes(KEPT["2026-01-05.csv"][0])
    Host(setting, WITHOUT_GOLD).drain()
    landed = {n: c for n, (c, _) in KEPT.items()} | {n: c for n, (c, _) in ASIDE.items()} | dict(EMPTY)
    for name, content in landed.items():
        if not (landing / name).exists():
            (landing / name).write_bytes(content)
    os.utime(landing / "a year old.csv", (A_YEAR_AGO.timestamp(), A_YEAR_AGO.timestamp()))
    Host(setting, WITHOUT_GOLD).drain()
    return Outcome(setting.lake, sorted(tidy.iterdir()))


def test_every_line_of_every_readable_file_is_on_the_tape_once_and_the_others_are_named(outcome: Outcome) -> None:
    verify_bronze(outcome.lake, outcome.tidy, [Path(name) for name in ASIDE])
    verify_tape(outcome.lake)


def test_silver_holds_the_good_lines_and_counts_the_others(outcome: Outcome) -> None:
    found = rows_of(read(outcome.lake.link(SILVER)).select(list(SALES)), SALES)
    assert Counter(found) == oracle(outcome.tidy).sales
    verify_rejects(outcome.lake, outcome.tidy)


@pytest.mark.parametrize("name", ASIDE)
def test_a_file_that_cannot_be_taken_is_set_aside_with_its_reason(outcome: Outcome, name: str) -> None:
    (row,) = [r for r in read(outcome.lake.rejects(INVOICES)).to_pylist() if r["file"] == name]
    assert ASIDE[name][1] in row["reason"]
    assert outcome.rows(name) == []


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_file_is_neither_kept_nor_a_fault(outcome: Outcome, name: str) -> None:
    assert outcome.rows(name) == []
    assert name not in set_aside(outcome.lake)


def test_a_line_with_too_few_or_too_many_fields_is_kept_raw(outcome: Outcome) -> None:
    raw = [r["_malformed"] for r in outcome.rows("too few, too many.csv")]
    assert sorted(raw, key=str) == sorted(["1,a", LINE.strip() + ",more,and more", None], key=str)
    assert [r["_malformed"] for r in outcome.rows("half written.csv")].count(LINE[:20]) == 1


def test_a_new_column_is_kept_and_is_null_for_other_files(outcome: Outcome) -> None:
    (row,) = outcome.rows("one more column.csv")
    assert row["Channel"] == "web"
    assert {r["Channel"] for r in outcome.rows("2026-01-05.csv")} == {None}


def test_arrivals_that_cannot_be_are_counted_exactly_in_the_commits(outcome: Outcome) -> None:
    notes = [c.note for c in commits(outcome.lake.folder(INVOICES)) if c.note]
    expected = len(outcome.rows("2999-01-01.csv")) + len(outcome.rows("1066-10-14.csv"))
    assert expected == 2 * len((LINE + OTHER).splitlines())
    assert [note.source["implausible_arrivals"] for note in notes] == [0, expected]


@pytest.mark.parametrize(
    "name", ["2026-01-05.csv", "a year old.csv", "2026-13-45.csv", "2999-01-01.csv", "1066-10-14.csv"]
)
def test_a_row_arrived_when_its_file_says_or_when_it_was_read(outcome: Outcome, name: str) -> None:
    (arrived,) = {r["_arrived_at"] for r in outcome.rows(name)}
    (ingested,) = {r["_ingested_at"] for r in outcome.rows(name)}
    (slice_,) = {r["_arrival_date"] for r in outcome.rows(name)}
    (modified,) = {r["_source"]["modified_at"] for r in outcome.rows(name)}
    expected = {
        "2026-01-05.csv": dt.datetime(2026, 1, 5, tzinfo=dt.UTC),
        "a year old.csv": A_YEAR_AGO,
        "2026-13-45.csv": modified,
        "2999-01-01.csv": ingested,  # the future is implausible
        "1066-10-14.csv": ingested,  # and so is the time before computers
    }
    assert arrived == expected[name]
    assert slice_ == arrived.date()
