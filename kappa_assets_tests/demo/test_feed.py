"""The demo's feed: every day once, in order, whatever crashes, restarts or deletes files in between."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kappa_assets.demo import feed
from kappa_assets.errors import SourceError
from kappa_assets_tests.oracle import oracle

NOW = dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)
STEPS = 6
"""Calls a crash can precede or follow: (1) a sync, (2) a sync, a rename, a sync, (3) a rename, a sync."""


class Crash(BaseException):
    """The process dies: nothing catches it."""


@contextmanager
def crash_at(call: int, *, after: bool) -> Iterator[None]:
    """Die at the `call`-th sync or rename: just before it, or just after."""
    calls = 0

    def wrapped(real: Any) -> Any:
        def step(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call and not after:
                raise Crash
            result = real(*args)
            if calls == call:
                raise Crash
            return result

        return step

    with (
        patch.object(os, "fsync", wrapped(os.fsync)),
        patch.object(Path, "replace", wrapped(Path.replace)),
    ):
        yield


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """Compress each day once: the same arguments give the same bytes, as a test below says."""
    with patch.object(feed, "day_file", cache(feed.day_file)):
        yield


def send(landing: Path, times: int = 1, now: dt.datetime = NOW) -> list[str]:
    sent = [feed.next_delivery(landing, now=now) for _ in range(times)]
    return [path.name for path in sent if path is not None]


def landed(landing: Path) -> set[str]:
    return {path.name for path in (landing / "invoices").glob("[!.]*")}


def lines_of(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_month_ends_on_the_day_of_the_first_call(tmp_path: Path) -> None:
    names = send(tmp_path, 20)
    assert names[0] == "2026-11-01.csv.gz"
    assert names[-1] == "2026-11-23.csv.gz"
    assert names == sorted(names)
    assert landed(tmp_path) == set(names)


def test_every_line_is_moved_by_the_same_whole_days_and_otherwise_unchanged(tmp_path: Path) -> None:
    names = send(tmp_path, 20)
    shift = dt.date(2026, 11, 23) - dt.date(2010, 12, 23)
    for day, name in zip(feed.packaged_days(), names, strict=True):
        original = lines_of(feed.DATA / f"{day}.csv.gz")
        for line in original:
            when = dt.datetime.fromisoformat(line["InvoiceDate"]) + shift
            line["InvoiceDate"] = f"{when:%Y-%m-%d %H:%M:%S}"
        assert lines_of(tmp_path / "invoices" / name) == original
        assert name.startswith(original[0]["InvoiceDate"][:10])


def test_a_shift_of_nothing_gives_the_packaged_bytes_back() -> None:
    for day in feed.packaged_days():
        packaged = gzip.decompress((feed.DATA / f"{day}.csv.gz").read_bytes())
        assert gzip.decompress(feed.day_file(day, dt.timedelta())) == packaged


def test_the_gzip_bytes_do_not_depend_on_the_clock() -> None:
    day = feed.packaged_days()[-1]
    contents = []
    for clock in (0.0, 1e9):
        with patch("time.time", return_value=clock):
            contents.append(feed.day_file.__wrapped__(day, dt.timedelta(days=1)))  # type: ignore[attr-defined]
    assert contents[0] == contents[1]
    assert contents[0][4:8] == b"\0\0\0\0"


def test_after_the_month_small_files_go_on_for_ever(tmp_path: Path) -> None:
    send(tmp_path, 20)
    assert send(tmp_path, 3) == [f"2026-11-23T101530-{number:06d}.csv" for number in (21, 22, 23)]
    assert send(tmp_path, 1, NOW + dt.timedelta(days=1)) == ["2026-11-24T101530-000024.csv"]


def test_a_small_file_looks_like_the_real_ones() -> None:
    header, known = "", set()
    for day in feed.packaged_days():
        header, *_ = gzip.decompress((feed.DATA / f"{day}.csv.gz").read_bytes()).decode().splitlines()
        known |= {(line["StockCode"], line["Description"], line["UnitPrice"]) for line in feed_lines(day)}
    cancelled, repeated, invoices = 0, 0, set[str]()
    for number in range(21, 121):
        content = feed.small_file(number, NOW, seed=3).decode()
        lines = list(csv.DictReader(io.StringIO(content, newline="")))
        assert content.startswith(header + "\n")
        assert 10 <= len(lines) <= 60
        assert not invoices & {line["InvoiceNo"] for line in lines}
        invoices |= {line["InvoiceNo"] for line in lines}
        for line in lines:
            sold_at = dt.datetime.fromisoformat(line["InvoiceDate"]).replace(tzinfo=dt.UTC)
            assert NOW - dt.timedelta(minutes=5) <= sold_at <= NOW
            assert line["StockCode"] == "B" or (line["StockCode"], line["Description"], line["UnitPrice"]) in known
        cancelled += sum(line["InvoiceNo"].startswith("C") for line in lines)
        repeated += len(lines) - len({tuple(line.values()) for line in lines})
    assert cancelled > 0
    assert repeated > 0


def feed_lines(day: dt.date) -> list[dict[str, str]]:
    return lines_of(feed.DATA / f"{day}.csv.gz")


def test_small_files_are_the_same_for_the_same_seed() -> None:
    assert feed.small_file(21, NOW, seed=1) == feed.small_file(21, NOW, seed=1)
    assert feed.small_file(21, NOW, seed=1) != feed.small_file(21, NOW, seed=2)
    assert feed.small_file(21, NOW, seed=1) != feed.small_file(22, NOW, seed=1)


def test_what_the_feed_sends_is_good_but_for_bad_debts(tmp_path: Path) -> None:
    names = send(tmp_path, 60)
    expected = oracle([tmp_path / "invoices" / name for name in names])
    assert expected.lines > 42_481
    assert set(expected.rejects) == {"price_not_negative"}


def test_a_restart_on_another_day_keeps_the_shift(tmp_path: Path) -> None:
    assert send(tmp_path, 2) == ["2026-11-01.csv.gz", "2026-11-02.csv.gz"]
    assert send(tmp_path, 1, NOW + dt.timedelta(days=9)) == ["2026-11-03.csv.gz"]


def test_today_is_the_day_in_utc(tmp_path: Path) -> None:
    auckland = dt.timezone(dt.timedelta(hours=13))
    assert send(tmp_path, 1, dt.datetime(2026, 11, 24, 9, tzinfo=auckland)) == ["2026-11-01.csv.gz"]


def test_deleted_files_are_not_sent_again(tmp_path: Path) -> None:
    for name in send(tmp_path, 3):
        (tmp_path / "invoices" / name).unlink()
    assert send(tmp_path) == ["2026-11-05.csv.gz"]


@pytest.mark.parametrize("count", [1, 7, 20, 23])
def test_a_lost_state_file_is_made_good_from_the_files(tmp_path: Path, count: int) -> None:
    whole, lost = tmp_path / "whole", tmp_path / "lost"
    names = send(whole, count + 1)
    send(lost, count)
    (lost / ".feed.json").unlink()
    assert send(lost, 1, NOW + dt.timedelta(days=2))[0].split("T")[-1] == names[-1].replace("2026-11-23T", "")


def test_a_state_file_of_somebody_else_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / ".feed.json").write_text("[]")
    with pytest.raises(SourceError, match="Delete it"):
        send(tmp_path)


def test_somebody_elses_file_is_never_overwritten(tmp_path: Path) -> None:
    send(tmp_path)
    theirs = tmp_path / "invoices" / "2026-11-02.csv.gz"
    theirs.write_bytes(b"theirs")
    assert send(tmp_path) == ["2026-11-03.csv.gz"]
    assert theirs.read_bytes() == b"theirs"


def test_a_landing_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("a file")
    with pytest.raises(SourceError, match=r"cannot write to '.*landing'(.|\n)*Hint:"):
        send(tmp_path / "landing")


def test_a_full_disk_is_a_clear_error_and_the_feed_goes_on_afterwards(tmp_path: Path) -> None:
    send(tmp_path)
    with (
        patch.object(os, "fsync", side_effect=OSError(28, "No space left on device")),
        pytest.raises(SourceError, match="No space left on device"),
    ):
        send(tmp_path)
    assert send(tmp_path) == ["2026-11-02.csv.gz"]


def test_while_one_process_sends_another_waits_its_turn(tmp_path: Path) -> None:
    with feed._alone(tmp_path) as first:
        assert first
        assert feed.next_delivery(tmp_path, now=NOW) is None
    assert send(tmp_path) == ["2026-11-01.csv.gz"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(1, STEPS + 1))
@pytest.mark.parametrize("before", [0, 1, 19, 20, 21])
def test_a_crash_at_any_step_neither_loses_nor_repeats_a_day(
    tmp_path: Path,
    before: int,
    call: int,
    after: bool,  # noqa: FBT001
) -> None:
    send(tmp_path, before)
    with pytest.raises(Crash), crash_at(call, after=after):
        send(tmp_path)
    shown = landed(tmp_path)
    for path in (tmp_path / "invoices").glob("[!.]*"):
        lines_of(path)  # whole: it can be read to its end
        path.unlink()  # and the shop clears up before the feed is back
    anchored = (tmp_path / ".feed.json").exists()
    later = send(tmp_path, 22 - len(shown), NOW + dt.timedelta(days=1) if anchored else NOW)
    numbers = [number_of(name) for name in sorted(shown) + later]
    assert numbers == list(range(22))
    assert not list((tmp_path / "invoices").glob(".*"))


def number_of(name: str) -> int:
    """The place of a delivery in the order of all."""
    if "T" in name:
        return int(name.removesuffix(".csv").rpartition("-")[2]) - 1
    shift = dt.date(2026, 11, 23) - dt.date(2010, 12, 23)
    return feed.packaged_days().index(dt.date.fromisoformat(name[:10]) - shift)


Event = tuple[str, int]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 8)),
        st.tuples(st.sampled_from(["crash before", "crash after"]), st.integers(1, STEPS)),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("days pass"), st.integers(1, 3)),
    ),
    max_size=25,
)


@given(events=EVENTS)
@settings(max_examples=40, deadline=None)
def test_every_day_is_sent_once_and_in_order_whatever_happens(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        landing, now, seen = Path(folder), NOW, list[str]()
        anchored = False
        for what, number in events:
            known = landed(landing)
            match what:
                case "send":
                    seen += send(landing, number, now)
                case "delete":
                    for name in sorted(known)[:number]:
                        (landing / "invoices" / name).unlink()
                case "days pass" if anchored:
                    now += dt.timedelta(days=number)
                case "crash before" | "crash after":
                    with suppress(Crash), crash_at(number, after=what == "crash after"):
                        send(landing, 1, now)
                    seen += sorted(landed(landing) - known)
            anchored = anchored or bool(seen) or (landing / ".feed.json").exists()
        assert [number_of(name) for name in seen] == list(range(len(seen)))
        if anchored:
            assert json.loads((landing / ".feed.json").read_text())["anchor"] == "2026-11-23"
