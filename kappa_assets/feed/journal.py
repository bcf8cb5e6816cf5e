"""The journal of a feed: what was sent, line by line, each on the disk before it counts.

The first line says which events there are. Then, for each batch of invoices: a line before anything of it is sent, and
one after. A feed that is killed leaves at most one batch with the first of the two alone. Of a topic nobody knows then
which of its events have arrived: they are told as such, and never sent again. A folder shows it, and the feed makes it
good when it goes on.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from kappa_assets.errors import LakeBusy, SourceError
from kappa_assets.feed.events import Event, Events

To = Literal["folder", "topic"]
State = Literal["sending", "sent", "maybe"]
_STATES: tuple[State, ...] = ("sending", "sent", "maybe")
Place = tuple[int, int] | None
"""Partition and offset that a broker has acknowledged; None where there is none."""
_WINDOW = 1 << 16


@dataclass(frozen=True)
class Plan:
    """Which events a journal is of, and where to."""

    events: Events
    to: To

    def to_json(self) -> str:
        """Return the first line of a journal."""
        told = {"seed": self.events.seed, "rate": self.events.rate, "begin": self.events.begin.isoformat()}
        return json.dumps({"feed": told | {"to": self.to}})

    @classmethod
    def from_json(cls, line: bytes) -> Plan:
        """Return what a first line says. Raises ValueError, KeyError, TypeError for another one."""
        told = json.loads(line)["feed"]
        events = Events(int(told["seed"]), dt.datetime.fromisoformat(told["begin"]), float(told["rate"]))
        return cls(events, "topic" if told["to"] == "topic" else "folder")


@dataclass(frozen=True)
class Entry:
    """A batch of whole invoices: those from the first number on, before the second."""

    state: State
    invoices: tuple[int, int]
    name: str | None = None
    """The name of its files, without the ending."""
    acknowledged: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    """By topic, what the broker said of each event, in their order."""

    def to_json(self) -> str:
        """Return its line."""
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {self.state: self.invoices, "at": at}
        told |= {"name": self.name} if self.name else {}
        told |= {"acknowledged": self.acknowledged} if self.acknowledged else {}
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: bytes) -> Entry:
        """Return what a line says. Raises ValueError, KeyError, TypeError, StopIteration for another one."""
        told = json.loads(line)
        state: State = next(one for one in ("sending", "sent", "maybe") if one in told)
        since, until = told[state]
        said = told.get("acknowledged", {})
        places = {
            topic: [None if one is None else (one[0], one[1]) for one in all_of] for topic, all_of in said.items()
        }
        return cls(state, (since, until), told.get("name"), places)


@dataclass(frozen=True)
class Sent:
    """An event that has been sent, and where the broker has it; None of one that went into a folder."""

    event: Event
    place: Place = None


@dataclass(frozen=True)
class Told:
    """What a journal tells: each event was sent once, or maybe once; any other was not."""

    sent: tuple[Sent, ...]
    maybe: tuple[Event, ...]


_Line = TypeVar("_Line", Plan, Entry)


class Journal:
    """A journal that its one writer goes on with. `last`: its newest entry, None of a new one."""

    def __init__(self, file: IO[bytes], plan: Plan, last: Entry | None) -> None:
        self._file = file
        self.plan = plan
        self.last = last

    def write(self, entry: Entry) -> None:
        """Add an entry. It is on the disk when this returns."""
        self._file.write(entry.to_json().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.last = entry


@contextmanager
def journal_at(path: Path, plan: Plan) -> Iterator[Journal]:
    """Open a journal to go on with, or a new one, for this process alone.

    A last line that was cut off by a crash goes: what it was to say had not happened yet, or is told by the one before.
    Raises SourceError for the journal of other events, or no journal; LakeBusy while another feed writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LakeBusy(f"another feed writes the journal {str(path)!r}", hint="Stop it, or let it.") from None
        last = _last_line(file)
        if last is None:
            file.write(plan.to_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            sync_folder(path.parent)
            yield Journal(file, plan, None)
            return
        file.seek(0)
        known = _read(path, Plan, file.readline())
        if known != plan:
            raise SourceError(
                f"the journal {str(path)!r} is of other events: {known.to_json()}; asked for are {plan.to_json()}",
                hint="Go on with the same seed, rate and destination, or name another --journal.",
            )
        yield Journal(file, known, None if last.startswith(b'{"feed"') else _read(path, Entry, last))


def known_plan(path: Path) -> Plan | None:
    """Return which events a journal is of; None where there is none yet. Raises SourceError for no journal."""
    try:
        with path.open("rb") as file:
            first = file.readline()
    except FileNotFoundError:
        return None
    return _read(path, Plan, first) if first.endswith(b"\n") else None


def read_journal(path: Path) -> Told:
    """Return what a journal tells, also while a feed writes it. Raises SourceError for what is none; OSError."""
    sent, maybe = list[Sent](), list[Event]()
    with path.open("rb") as file:
        plan = _read(path, Plan, file.readline())
        begun: Entry | None = None
        for line in file:
            if not line.endswith(b"\n"):
                break
            entry = _read(path, Entry, line)
            begun = entry if entry.state == "sending" else None
            if begun is None:
                _sort_out(plan, entry, sent, maybe)
        if begun is not None:
            _sort_out(plan, begun, sent, maybe)
    return Told(tuple(sent), tuple(maybe))


def _sort_out(plan: Plan, entry: Entry, sent: list[Sent], maybe: list[Event]) -> None:
    places = {topic: iter(all_of) for topic, all_of in entry.acknowledged.items()}
    for number in range(*entry.invoices):
        for event in plan.events.of_invoice(number):
            place = next(places[event.stream]) if event.stream in places else None
            if entry.state == "sent" or place is not None:
                sent.append(Sent(event, place))
            else:
                maybe.append(event)


def _read(path: Path, kind: type[_Line], line: bytes) -> _Line:
    try:
        return kind.from_json(line)
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError) as error:
        raise SourceError(
            f"{str(path)!r} is no journal of a feed: {line[:80]!r} is none of its lines",
            hint="Name another --journal; this one was changed by somebody else.",
        ) from error


def _last_line(file: IO[bytes]) -> bytes | None:
    """Return the last whole line, and cut off what comes after it; None of a file without one."""
    size, window = file.seek(0, os.SEEK_END), _WINDOW
    while True:
        at = file.seek(max(0, size - window))
        content = file.read()
        end = content.rfind(b"\n")
        begin = content.rfind(b"\n", 0, max(end, 0))
        if end >= 0 and (begin >= 0 or at == 0):
            file.truncate(at + end + 1)
            return content[begin + 1 : end]
        if at == 0:
            file.truncate(0)
            return None
        window *= 2


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder are on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
