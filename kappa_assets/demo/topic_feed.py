"""The demo's feed on Kafka: `kappa feed --to topic`, some events at each tick of the sensor."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from kappa_assets.errors import SourceError
from kappa_assets.feed.events import Events
from kappa_assets.feed.feed import feed_at
from kappa_assets.feed.journal import Plan, known_plan
from kappa_assets.feed.topics import Topics

_JOURNAL = ".feed-topic.jsonl"
_RATE = 10.0
"""Events a second."""


def send_some(landing: Path, seconds: float) -> int:
    """Send the events of some seconds, and return how many. Raises SourceError, SetupError, LakeBusy."""
    path = landing / _JOURNAL
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    plan = known_plan(path) or Plan(Events(0, now, _RATE), "topic")
    with feed_at(path, plan, Topics()) as feed:
        return feed.send(int(plan.events.rate * seconds))


def topics_begin(landing: Path, today: dt.date) -> dt.date:
    """Return the day of the first event: as the journal has it, or today. A journal that is none is passed over."""
    try:
        plan = known_plan(landing / _JOURNAL)
    except (OSError, SourceError):
        plan = None
    return today if plan is None else plan.events.begin.date()
