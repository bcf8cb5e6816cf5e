"""Commands that play the tape: stream and drain, which start Spark; and feed, which plays who sends to it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import Where, command, setting_of, status_answer
from kappa_assets.cli.progress import progress, stop_request
from kappa_assets.errors import KappaError, LogicChanged

if TYPE_CHECKING:
    from kappa_assets.feed.feed import Destination


@command
def stream(where: Where) -> Answer:
    """Keep every table up to date until stopped.

    Ctrl-C, SIGTERM and SIGHUP let the current batch finish and end with exit code 0: stopping is how a stream ends.
    A second Ctrl-C stops at once; nothing is lost or doubled by it.
    """
    from kappa_assets.host.host import Host

    pipeline = where.pipeline()
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, live=True, packages=pipeline.packages)
        stop.listen()
        host: Host = Host(setting, pipeline, wanted=shown.watching(stop, lambda: host.status))
        ended = host.stream()
    if ended.restart:
        raise LogicChanged(ended.reason, hint="Start kappa stream again, with the code that is deployed now.")
    return status_answer(setting.lake, pipeline)


@command
def drain(where: Where) -> Answer:
    """Bring every table up to date with what has landed, then end.

    Stopped before that (Ctrl-C, SIGTERM), or with a table held because its logic changed, it ends with exit code 1;
    the next one goes on where it was.
    """
    from kappa_assets.host.host import Host

    pipeline = where.pipeline()
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, packages=pipeline.packages)
        stop.listen()
        host: Host = Host(setting, pipeline, wanted=shown.watching(stop, lambda: host.status))
        host.drain()
        held = [q for q in host.status if q.state == "held"]
    answer = status_answer(setting.lake, pipeline)
    if stop.reason is not None:
        failure = f"{stop.reason} before everything was caught up\nHint: Run kappa drain again."
    elif held:
        failure = "\n".join(f"{q.table} is held: {q.error}" for q in held)
    else:
        return answer
    return Answer(answer.rows, answer.columns, answer.title, failure=failure)


@command
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Events a second.  [default: 10]")
@click.option(
    "--to",
    type=click.Choice(["folder", "topic"]),
    default="folder",
    show_default=True,
    help="Into folders of the landing folder, or topics of the brokers that KAPPA_KAFKA_... name.",
)
@click.option("--seed", type=int, help="Which events: the same seed, rate and begin give the same.  [default: 0]")
@click.option("--events", type=click.IntRange(min=1), help="Stop after so many; invoices are sent whole.")
@click.option(
    "--begin",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]),
    help="When the first event happens, UTC.  [default: now]",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The journal of what was sent.  [default: .feed-folder.jsonl or .feed-topic.jsonl in the landing folder]",
)
@click.option("--partitions", type=click.IntRange(min=1), default=1, show_default=True, help="Of topics that it makes.")
def feed(
    where: Where,
    rate: float | None,
    to: Literal["folder", "topic"],
    seed: int | None,
    events: int | None,
    begin: dt.datetime | None,
    journal: Path | None,
    partitions: int,
) -> Answer:
    """Play a shop: send invoice lines and changes of customers at a rate, with a journal of what was sent.

    To `invoices` and `customer_changes`, which the retail example reads: folders, or topics. An event counts as sent
    when the journal on the disk says so. Killed at any point, the next feed of that journal goes on behind it: no event
    is sent twice, and one that a broker may or may not have taken is told as such.
    """
    from kappa_assets.feed.events import Events
    from kappa_assets.feed.feed import feed_at, keep_pace
    from kappa_assets.feed.journal import Plan, known_plan

    at = journal or where.landing() / f".feed-{to}.jsonl"
    known = known_plan(at)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    told: dict[str, Any] = {"seed": 0, "rate": 10.0, "begin": now} if known is None else vars(known.events)
    asked = {"seed": seed, "rate": rate, "begin": begin and begin.replace(tzinfo=dt.UTC)}
    plan = Plan(Events(**told | {name: value for name, value in asked.items() if value is not None}), to)
    destination = _destination(where, to, partitions)
    failure = None
    with stop_request() as stop, feed_at(at, plan, destination) as fed:
        try:
            keep_pace(fed, plan.events.rate, destination.every, events=events, wanted=stop)
        except KappaError as error:
            failure = str(error)
    row = {"journal": str(at), "to": to, "seed": plan.events.seed, "rate": plan.events.rate, "events": fed.sent}
    return Answer([row], failure=failure)


def _destination(where: Where, to: Literal["folder", "topic"], partitions: int) -> Destination:
    from kappa_assets.feed.folders import Folders

    if to == "folder":
        return Folders(where.landing())
    from kappa_assets.feed.topics import Topics

    return Topics(partitions)
