"""The feed itself: batches of whole invoices, journalled, at the rate that is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kappa_assets.errors import SourceError
from kappa_assets.feed.events import Event
from kappa_assets.feed.journal import Entry, Journal, Place, Plan, State, journal_at

_MOST_SECONDS = 10
"""Of events in a batch, when the feed has fallen behind."""


@dataclass(frozen=True)
class Answer:
    """What a destination says of a batch: whether it has everything, and by topic where each event lies."""

    everything: bool
    acknowledged: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    why: str = ""
    """What a destination that has not got everything says."""


class Destination(Protocol):
    """Where events are sent."""

    every: float
    """Seconds between two batches."""

    def prepare(self, invoices: tuple[int, int], events: Sequence[Event]) -> str | None:
        """Get a batch ready that nobody sees yet. Return a name that the journal is to hold. Raises SourceError."""
        ...

    def send(self, entry: Entry, events: Sequence[Event]) -> Answer:
        """Send a batch that the journal holds as begun. Raises SourceError."""
        ...

    def settle(self, entry: Entry) -> Answer:
        """Say of a batch that a feed before has begun whether it is sent, or see to it that it is."""
        ...


class Feed:
    """Sends events in order, each at most once, and goes on where the journal ends."""

    def __init__(self, journal: Journal, destination: Destination) -> None:
        self._journal, self._destination = journal, destination
        self.sent = 0
        """How many events this feed has sent."""
        if journal.last is not None and journal.last.state == "sending":
            self._close(journal.last, destination.settle(journal.last))

    def send(self, at_least: int) -> int:
        """Send whole invoices with at least so many events, and return how many. Raises SourceError."""
        first = last = 0 if self._journal.last is None else self._journal.last.invoices[1]
        events = list[Event]()
        while len(events) < at_least:
            events += self._journal.plan.events.of_invoice(last)
            last += 1
        entry = Entry("sending", (first, last), self._destination.prepare((first, last), events))
        self._journal.write(entry)
        answer = self._destination.send(entry, events)
        self._close(entry, answer)
        if not answer.everything:
            raise SourceError(
                f"not all events of the invoices from {first} to {last - 1} were acknowledged: {answer.why}",
                hint="The journal tells which were; going on sends none of them again.",
            )
        self.sent += len(events)
        return len(events)

    def _close(self, begun: Entry, answer: Answer) -> None:
        state: State = "sent" if answer.everything else "maybe"
        self._journal.write(Entry(state, begun.invoices, begun.name, answer.acknowledged))


@contextmanager
def feed_at(path: Path, plan: Plan, destination: Destination) -> Iterator[Feed]:
    """Open the feed of a journal, for this process alone. Raises SourceError, LakeBusy."""
    with journal_at(path, plan) as journal:
        yield Feed(journal, destination)


def keep_pace(
    feed: Feed,
    rate: float,
    every: float,
    *,
    events: int | None = None,
    wanted: Callable[[], str | None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send `rate` events a second until there are `events`, or `wanted` gives a reason to stop; return how many.

    What the destination holds up is caught up with, in batches of ten seconds' events at most.
    """
    began, sent, ticks = clock(), 0, 0
    while wanted() is None and (events is None or sent < events):
        due = min(int((clock() - began) * rate) - sent, int(rate * _MOST_SECONDS) + 1)
        if events is not None:
            due = min(due, events - sent)
        if due > 0:
            sent += feed.send(due)
        ticks = max(ticks, int((clock() - began) / every)) + 1
        sleep(max(0.0, began + ticks * every - clock()))
    return sent
