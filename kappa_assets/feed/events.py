"""What happens in the invented shop: invoice lines, and changes of customers. The same seed gives the same events."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from kappa_assets.feed.customers import FOLDER as CUSTOMER_CHANGES
from kappa_assets.feed.customers import changes_of, to_json
from kappa_assets.feed.packaged import invented_invoice, packaged, packaged_days

INVOICES = "invoices"
STREAMS = (CUSTOMER_CHANGES, INVOICES)
"""The topics, or folders, of the events. A customer's changes are sent before the invoice that they come with."""

_FIRST_INVOICE = 10_000_000
"""The packaged month ends at 539 993, and what the demo invents as files begins at 600 000."""
_EVENTS_OF_AN_INVOICE = 8.4
"""On average, changes of customers counted too: at the rate asked for, invoices are dated about when they are sent."""


@dataclass(frozen=True)
class Event:
    """One line of an invoice, by the columns of its file, or one change of a customer, as Debezium's envelope."""

    stream: str
    key: str
    """What keeps events of one thing in order: the number of the invoice, or the customer."""
    content: Mapping[str, Any]

    @property
    def json(self) -> str:
        """The event as one document. Of a line nothing is said of a column that the file leaves empty."""
        return to_json({name: value for name, value in self.content.items() if self.stream != INVOICES or value})


@dataclass(frozen=True)
class Events:
    """All events, by the number of their invoice. They differ with each of these three, and with nothing else."""

    seed: int
    begin: dt.datetime
    """When the first one happens, UTC."""
    rate: float
    """Events a second."""

    def of_invoice(self, number: int) -> list[Event]:
        """Return the events of one invoice, counted from 0: the changes of its customer, then its lines."""
        dice = random.Random(f"{self.seed}/{number}")  # noqa: S311  # to repeat, not to hide
        header, *known = _packaged(dice.choice(_days()))
        now = self.begin + dt.timedelta(seconds=number * _EVENTS_OF_AN_INVOICE / self.rate)
        lines = invented_invoice(dice, header, known, str(_FIRST_INVOICE + number), now)
        told = [dict(zip(header, line, strict=True)) for line in lines]
        changes = [Event(CUSTOMER_CHANGES, who, c) for who, c in changes_of(f"{self.seed}/{number}", told)]
        return changes + [Event(INVOICES, str(_FIRST_INVOICE + number), line) for line in told]


@cache
def _days() -> tuple[dt.date, ...]:
    return packaged_days()


@cache
def _packaged(day: dt.date) -> list[list[str]]:
    return packaged(day)
