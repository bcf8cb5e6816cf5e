"""Whether the brokers still have all that a tape has not read yet: else it stops, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kappa_assets.errors import RowsLost
from kappa_assets.names import TableName
from kappa_assets.sources.kafka.topic import Topic
from kappa_assets.sources.source import Lost


def lost_of(name: str, topic: Topic, known: str | None, stands: Mapping[str, int]) -> Lost | None:
    """Return what a topic has lost of what a tape needs; None for nothing.

    `known`: the id of the topic that the tape was read from, and `stands` how far. Nothing is lost of a tape that has
    nothing: it begins with what there is.
    """
    if known not in (None, topic.id):
        begins = {partition: holds.since for partition, holds in topic.holds.items()}
        return Lost(_made_anew(name, known, topic.id), dict(_of_the_one_before(topic, stands)), begins, topic.id)
    missing = dict(_missing(topic, stands)) if stands else {}
    if not missing:
        return None
    told = "; ".join(f"partition {partition} {what}" for partition, what in missing.items())
    what = f"topic {name!r} of Kafka has lost what the tape needs: {told}"
    begins = {p: min(max(stands.get(p, 0), holds.since), holds.until) for p, holds in topic.holds.items()}
    return Lost(what, missing, begins, topic.id)


def check_same_topic(table: TableName, name: str, known: str | None, now: str, begun: str | None = None) -> None:
    """Raise RowsLost when the topic is not the one that the tape was read from, or is to be read from.

    `known`: its id; None of a tape that has nothing of it. Then `begun` is that of the topic when its query was begun.
    """
    if known not in (None, now):
        raise RowsLost(_made_anew(name, known, now), hint=_hint(table))
    if known is None and begun not in (None, now):
        anew = "The tape has nothing of it yet: its query begins anew, with what the topic holds now."
        raise RowsLost(_made_anew(name, begun, now), hint=anew)


def check_nothing_lost(table: TableName, lost: Lost | None) -> None:
    """Raise RowsLost when a topic has lost what the tape needs, naming each partition and what is missing."""
    if lost is not None:
        raise RowsLost(lost.what, hint=_hint(table))


def _hint(table: TableName) -> str:
    return (
        "Nothing was written, and nothing is passed over by itself. What was lost comes back only from who sent it, or "
        f'from a copy of the topic. kappa accept-loss {table} --reason "..." has the tape go on behind it.'
    )


def _made_anew(name: str, known: str | None, now: str) -> str:
    return (
        f"topic {name!r} of Kafka was deleted and made anew: its id was {known} and is {now}. Its offsets count "
        "from 0 again, so what the tape has says nothing of what the topic holds"
    )


def _of_the_one_before(topic: Topic, stands: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for partition in sorted(stands.keys() | topic.holds.keys(), key=int):
        holds, stand = topic.holds.get(partition), stands.get(partition, 0)
        told = f"had unknown records from {stand} on, which are gone with the topic"
        if holds is None:
            yield partition, told
        else:
            lacks = f", and lacks those before {holds.since}" if holds.since else ""
            yield partition, f"{told}; the new one is read from {holds.since}{lacks}"


def _missing(topic: Topic, stands: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for partition, stand in sorted(stands.items(), key=lambda item: int(item[0])):
        holds = topic.holds.get(partition)
        if holds is None:
            yield partition, f"is gone, of which the tape has all before {stand}"
        elif holds.since > stand:
            yield partition, f"has nothing from {stand} to {holds.since - 1} any more"
        elif holds.until < stand:
            yield partition, f"ends before {holds.until}, and the tape has all before {stand}"
    for partition in sorted(topic.holds.keys() - stands.keys(), key=int):
        if since := topic.holds[partition].since:
            yield partition, f"came later, and has nothing from 0 to {since - 1}"
