"""Whether the brokers still have all that a tape has not read yet: else it stops, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kappa_assets.errors import RowsLost
from kappa_assets.sources.kafka.topic import Topic

_HINT = (
    "Nothing was written, and nothing is passed over by itself. What was lost comes back only from who sent it, or "
    "from a copy of the topic; a tape of its own reads what the topic has now."
)


def check_same_topic(name: str, known: str | None, now: str) -> None:
    """Raise RowsLost when the topic is not the one that the tape was read from. `known`: its id; None of a new tape."""
    if known not in (None, now):
        raise RowsLost(
            f"topic {name!r} of Kafka was deleted and made anew: its id was {known} and is {now}. Its offsets count "
            "from 0 again, so what the tape has says nothing of what the topic holds",
            hint=_HINT,
        )


def check_nothing_lost(name: str, topic: Topic, stands: Mapping[str, int]) -> None:
    """Raise RowsLost when a partition does not go on where the tape stands, naming each one and what is missing.

    Nothing is lost of a tape that has nothing: it begins with what there is.
    """
    missing = list(_missing(topic, stands)) if stands else []
    if missing:
        raise RowsLost(f"topic {name!r} of Kafka has lost what the tape needs: {'; '.join(missing)}", hint=_HINT)


def _missing(topic: Topic, stands: Mapping[str, int]) -> Iterator[str]:
    for partition, stand in sorted(stands.items(), key=lambda item: int(item[0])):
        holds = topic.holds.get(partition)
        if holds is None:
            yield f"partition {partition} is gone, of which the tape has all before {stand}"
        elif holds.since > stand:
            yield f"partition {partition} has nothing from {stand} to {holds.since - 1} any more"
        elif holds.until < stand:
            yield f"partition {partition} ends before {holds.until}, and the tape has all before {stand}"
    for partition in sorted(topic.holds.keys() - stands.keys(), key=int):
        if since := topic.holds[partition].since:
            yield f"partition {partition} came later, and has nothing from 0 to {since - 1}"
