"""The feed and its journal: the same events for the same seed, each at most once, and exactly what was sent is told."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import json
import os
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from kappa_assets.cli import main
from kappa_assets.errors import LakeBusy, SetupError, SourceError
from kappa_assets.feed.events import Event, Events
from kappa_assets.feed.feed import Answer, feed_at, keep_pace
from kappa_assets.feed.folders import Folders
from kappa_assets.feed.journal import Entry, Place, Plan, Told, journal_at, read_journal
from kappa_assets.feed.topics import of_librdkafka

BEGIN = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
EVENTS = Events(7, BEGIN, 100.0)
TO_FOLDER, TO_TOPIC = Plan(EVENTS, "folder"), Plan(EVENTS, "topic")


class Killed(BaseException):
    """The process dies: nothing catches it."""


@contextmanager
def killed_at(call: int, *, after: bool) -> Iterator[None]:
    """Die at the `call`-th sync or rename: just before it, or just after."""
    calls = itertools.count(1)

    def wrapped(real: Any) -> Any:
        def step(*args: Any) -> Any:
            now = next(calls)
            if now == call and not after:
                raise Killed
            result = real(*args)
            if now == call:
                raise Killed
            return result

        return step

    with (
        patch.object(os, "fsync", wrapped(os.fsync)),
        patch.object(Path, "replace", wrapped(Path.replace)),
    ):
        yield


def as_text(event: Event) -> str:
    return json.dumps([event.stream, dict(event.content)])


def landed(landing: Path) -> Counter[str]:
    """Return all events in the files that are seen."""
    found = Counter[str]()
    for path in (landing / "invoices").glob("[!.]*.csv"):
        with path.open(newline="") as file:
            found.update(json.dumps(["invoices", line]) for line in csv.DictReader(file))
    for path in (landing / "customer_changes").glob("[!.]*.json"):
        found.update(json.dumps(["customer_changes", json.loads(line)]) for line in path.read_text().splitlines())
    return found


def told(told: Told) -> Counter[str]:
    return Counter(as_text(one.event) for one in told.sent)


def test_the_same_seed_gives_the_same_events_and_another_one_others() -> None:
    first, again, other = (Events(seed, BEGIN, 100.0) for seed in (7, 7, 8))
    all_of_it = [event for number in range(300) for event in first.of_invoice(number)]
    assert all_of_it == [event for number in range(300) for event in again.of_invoice(number)]
    assert all_of_it != [event for number in range(300) for event in other.of_invoice(number)]
    assert {event.stream for event in all_of_it} == {"invoices", "customer_changes"}
    dates = [dt.datetime.fromisoformat(e.content["InvoiceDate"]) for e in all_of_it if e.stream == "invoices"]
    spread = (max(dates) - min(dates)).total_seconds()
    assert spread < 300 + 2 * len(all_of_it) / 100, "they are dated about when they are sent"
    line = next(event for event in all_of_it if event.stream == "invoices" and not event.content["CustomerID"])
    assert "CustomerID" not in json.loads(line.json), "of a column that is empty a document says nothing"


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 30), st.just(False)),
        st.tuples(st.just("killed"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("clear"), st.just(0), st.just(False)),
    ),
    max_size=12,
)


@given(moves=MOVES, torn=st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_feed_into_folders_that_is_killed_anywhere_lands_each_event_once_and_its_journal_says_so(
    moves: list[tuple[str, int, bool]], torn: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        landing, seen = Path(folder), Counter[str]()
        journal = landing / ".feed.jsonl"
        for what, number, after in moves:
            if what == "clear":  # the shop clears up, or a host moves what it has read
                seen += landed(landing)
                for path in landing.glob("*/[!.]*"):
                    path.unlink()
                continue
            death = killed_at(number, after=after) if what == "killed" else nullcontext()
            with suppress(Killed), death, feed_at(journal, TO_FOLDER, Folders(landing)) as feed:
                feed.send(number)
            if journal.exists():
                known = read_journal(journal) if journal.stat().st_size else Told((), ())
                there = seen + landed(landing)
                assert told(known) <= there
                assert there <= told(known) + Counter(map(as_text, known.maybe))
        if journal.exists() and journal.stat().st_size and torn:
            with journal.open("ab") as file:
                file.write(b'{"sending":[900,901],"at":"2026-03-01T09:00:00.000+00:00"}'[:torn])
        with feed_at(journal, TO_FOLDER, Folders(landing)) as feed:
            feed.send(1)
        assert told(read_journal(journal)) == seen + landed(landing)
        assert read_journal(journal).maybe == ()
        assert list(landing.glob("*/.*")) == []
        sent = [one.event for one in read_journal(journal).sent]
        numbers = range(int(next(e.key for e in reversed(sent) if e.stream == "invoices")) - 10_000_000 + 1)
        assert sent == [event for number in numbers for event in EVENTS.of_invoice(number)], "none is left out"


class Scripted:
    """A destination that takes some events of a batch, and dies, or says no to the rest."""

    every = 0.1

    def __init__(self, takes: int | None = None, *, dies: bool = False) -> None:
        self.taken: list[Event] = []
        self._takes, self._dies = takes, dies

    def prepare(self, invoices: tuple[int, int], events: Sequence[Event]) -> None:
        del invoices, events

    def send(self, entry: Entry, events: Sequence[Event]) -> Answer:
        del entry
        takes = len(events) if self._takes is None else self._takes
        self.taken += events[:takes]
        if self._dies:
            raise Killed
        places: dict[str, list[Place]] = {}
        for number, event in enumerate(events):
            places.setdefault(event.stream, []).append((0, number) if number < takes else None)
        return Answer(takes >= len(events), places, "no broker")

    def settle(self, entry: Entry) -> Answer:
        return Answer(everything=False, acknowledged=entry.acknowledged)


def test_what_was_on_its_way_to_a_topic_when_the_feed_died_is_told_as_maybe_and_never_sent_again(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "journal"
    before, dying, after = Scripted(), Scripted(3, dies=True), Scripted()
    with feed_at(journal, TO_TOPIC, before) as feed:
        feed.send(20)
    with suppress(Killed), feed_at(journal, TO_TOPIC, dying) as feed:
        feed.send(20)
    maybe = read_journal(journal).maybe
    assert len(maybe) >= 20
    assert list(maybe[:3]) == dying.taken
    with feed_at(journal, TO_TOPIC, after) as feed:
        feed.send(20)
    known = read_journal(journal)
    assert known.maybe == maybe
    assert [one.event for one in known.sent] == before.taken + after.taken
    assert all(one.place is not None for one in known.sent)
    assert not {as_text(one) for one in maybe} & {as_text(one) for one in after.taken}


def test_what_brokers_have_not_acknowledged_is_told_event_by_event(tmp_path: Path) -> None:
    some = Scripted(5)
    with (
        feed_at(tmp_path / "journal", TO_TOPIC, some) as feed,
        pytest.raises(SourceError, match=r"not all events of the invoices from 0 to \d+ were acknowledged: no broker"),
    ):
        feed.send(20)
    known = read_journal(tmp_path / "journal")
    assert sorted(as_text(one.event) for one in known.sent) == sorted(map(as_text, some.taken))
    assert len(known.maybe) >= 15


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_last_line_that_was_cut_off_says_nothing(tmp_path: Path, cut: int) -> None:
    journal = tmp_path / "journal"
    with feed_at(journal, TO_TOPIC, Scripted()) as feed:
        feed.send(5)
        feed.send(5)
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(whole[: -cut * len(lines[-1]) // 8])
    known = read_journal(journal)
    assert len(known.maybe) >= 5
    with feed_at(journal, TO_TOPIC, Scripted()) as feed:
        feed.send(1)
    assert read_journal(journal).maybe == known.maybe
    assert journal.read_bytes().startswith(b"".join(lines[:-1]))


def test_a_long_last_line_is_found(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with journal_at(journal, TO_TOPIC) as opened:
        opened.write(Entry("sent", (0, 9), acknowledged={"invoices": [(0, n) for n in range(30_000)]}))
    assert journal.stat().st_size > 1 << 17
    with journal_at(journal, TO_TOPIC) as opened:
        assert opened.last is not None
        assert opened.last.invoices == (0, 9)


def test_one_feed_writes_a_journal_and_only_that_of_its_events(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with journal_at(journal, TO_TOPIC), pytest.raises(LakeBusy, match="another feed"), journal_at(journal, TO_TOPIC):
        pass
    with pytest.raises(SourceError, match="is of other events"), journal_at(journal, TO_FOLDER):
        pass
    (tmp_path / "other").write_text("customer,amount\nada,1\n")
    with pytest.raises(SourceError, match="is no journal of a feed: b'customer,amount"):
        read_journal(tmp_path / "other")


def test_the_rate_is_kept_also_after_the_destination_has_held_it_up(tmp_path: Path) -> None:
    now, slept = 0.0, list[float]()

    class Slow(Scripted):
        def send(self, entry: Entry, events: Sequence[Event]) -> Answer:
            nonlocal now
            now += 5.0 if not self.taken else 0.0
            return super().send(entry, events)

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    destination = Slow()
    with feed_at(tmp_path / "journal", TO_TOPIC, destination) as feed:
        sent = keep_pace(feed, 100.0, 0.1, events=2_000, clock=lambda: now, sleep=sleep)
        assert 2_000 <= sent == len(destination.taken) < 2_050
        assert 19.5 < now < 20.5
        assert max(slept) < 0.101
        assert keep_pace(feed, 100.0, 0.1, wanted=lambda: "asked to stop", clock=lambda: now, sleep=sleep) == 0


def feed(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["feed", *map(str, arguments)])


def test_the_command_sends_into_the_landing_folder_and_goes_on_with_its_journal(tmp_path: Path) -> None:
    first = feed("--landing", tmp_path, "--rate", "100000", "--seed", "3", "--events", "500", "--json")
    assert first.exit_code == 0, first.output
    (row,) = json.loads(first.stdout)
    assert row["events"] >= 500
    journal = tmp_path / ".feed-folder.jsonl"
    assert row["journal"] == str(journal)
    assert told(read_journal(journal)) == landed(tmp_path)
    assert feed("--landing", tmp_path, "--events", "10").exit_code == 0, "seed and rate are those of the journal"
    assert told(read_journal(journal)) == landed(tmp_path)
    other = feed("--landing", tmp_path, "--seed", "4", "--events", "10")
    assert other.exit_code == 1
    assert "Hint: Go on with the same seed, rate and destination, or name another --journal." in other.stderr
    no_landing = feed("--events", "10")
    assert (no_landing.exit_code, "Missing option '--landing'" in no_landing.stderr) == (2, True)
    no_brokers = feed("--landing", tmp_path, "--to", "topic", "--events", "10")
    assert no_brokers.exit_code == 1
    assert "KAPPA_KAFKA_BOOTSTRAP_SERVERS is not set" in no_brokers.stderr


def test_the_properties_of_javas_clients_are_translated_or_refused_by_name() -> None:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    line = f'{module} username="app" password=\'it is "secret"\';'
    given = {"bootstrap.servers": "a:1", "sasl.mechanism": "PLAIN", "sasl.jaas.config": line, "request.timeout.ms": "9"}
    assert of_librdkafka(given) == {
        "bootstrap.servers": "a:1",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "app",
        "sasl.password": 'it is "secret"',
    }
    pem = {"ssl.truststore.location": "/ca.pem", "ssl.truststore.type": "PEM"}
    assert of_librdkafka(pem) == {"ssl.ca.location": "/ca.pem"}
    for refused in ({"ssl.truststore.location": "/ca.jks"}, {"sasl.login.class": "x"}):
        with pytest.raises(SetupError, match="knows no s"):
            of_librdkafka(refused)


def test_the_commands_in_the_readme_are_of_the_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chapter = (Path(__file__).parents[2] / "README.md").read_text().partition("## A shop that sends\n")[2]
    folder, topic = (shlex.split(line, comments=True) for line in chapter.partition("```console\n")[2].splitlines()[:2])
    assert folder[:2] == topic[:2] == ["kappa", "feed"]
    assert feed(*folder[2:], "--rate", "100000", "--events", "50").exit_code == 0
    assert told(read_journal(tmp_path / "landing" / ".feed-folder.jsonl")) == landed(tmp_path / "landing")
    assert "KAPPA_KAFKA_BOOTSTRAP_SERVERS is not set" in feed(*topic[2:]).stderr
