"""What the registry says, as values: generations, releases, replays. Folding events into them is pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kappa_assets.errors import LakeError
from kappa_assets.names import TableName

GenerationState = Literal["live", "candidate", "validated", "retired", "expired", "discarded"]
ReplayState = Literal["building", "held", "promoted", "validated", "discarded"]


@dataclass(frozen=True)
class Event:
    """One thing that happened, as stored: when (ISO 8601, UTC), what kind, and its facts."""

    at: str
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Generation:
    """One physical incarnation of a table."""

    table: TableName
    number: int
    code_version: str
    upstream: int
    """The generation of the upstream it reads."""
    from_batch: int
    """First tape position it computes itself; rows before it were kept from the generation `kept_from`."""
    kept_from: int | None
    replay: str | None
    created_at: str
    to_batch: int | None = None
    """Last tape position it takes in, for a validation; None: it follows the tape."""
    reads: TableName | None = None
    """The upstream table, of several the first; None where it was created by a version that did not say it."""
    also_reads: Mapping[TableName, int] = field(default_factory=dict, hash=False)
    """The generations of the other upstreams that it reads."""

    def generation_of(self, upstream: TableName) -> int:
        """Return the generation of one of its upstreams that it reads; a tape has one for ever."""
        return 1 if upstream.is_tape else self.also_reads.get(upstream, self.upstream)


@dataclass(frozen=True)
class Release:
    """What readers see: one generation of every table."""

    number: int
    tables: Mapping[TableName, int]
    reason: str
    replay: str | None
    created_at: str


@dataclass(frozen=True)
class Replay:
    """One replay: the candidates it builds and what became of them."""

    id: str
    state: ReplayState
    candidates: Mapping[TableName, int]
    plan: Mapping[str, Any]
    created_at: str
    comparison: Mapping[str, Any] | None = None
    live: Mapping[TableName, int] = field(default_factory=dict)
    """What was live when it started: a promotion that would replace anything else is refused."""


@dataclass(frozen=True)
class AcceptedLoss:
    """What a source had lost of what a tape needs, and somebody has let the tape pass over."""

    table: TableName
    source: str
    """The source, by its label."""
    by: str
    at: str
    reason: str
    missing: Mapping[str, str]
    """By part of the source, what is passed over, in words."""
    stood: tuple[str | None, int]
    """The checkpoint and the batch of what the tape had last of the source: with its next commit it is over."""
    begins: Mapping[str, int]
    """By part, where the tape goes on; of those that it has not, it has nothing."""
    incarnation: str | None
    """The id of what is read from there on."""

    @property
    def summary(self) -> str:
        """Who has accepted what, when and why, on one line."""
        lost = "; ".join(f"{part} {what}" for part, what in self.missing.items())
        return f"{self.by} accepted at {self.at} that {self.source} has lost: {lost}. Reason: {self.reason}"


@dataclass(frozen=True)
class State:
    """The registry at one version."""

    version: int = -1
    generations: Mapping[tuple[TableName, int], Generation] = field(default_factory=dict)
    releases: Mapping[int, Release] = field(default_factory=dict)
    current: int | None = None
    replays: Mapping[str, Replay] = field(default_factory=dict)
    expired: frozenset[tuple[TableName, int]] = frozenset()
    """Generations that maintenance removed: nothing needed them any more."""
    vacuumed: Mapping[tuple[TableName, int], int] = field(default_factory=dict)
    """By generation of a table, the newest version up to which its removed files, or its log, are gone from the disk: a
    reader that has not read past it cannot go on."""
    losses: tuple[AcceptedLoss, ...] = ()
    """What was accepted as lost, of any tape, oldest first."""

    @property
    def release(self) -> Release | None:
        """The release readers see, or None for a lake that nothing was written to."""
        return None if self.current is None else self.releases[self.current]

    def live(self, table: TableName) -> Generation | None:
        """The generation readers see."""
        number = self.release.tables.get(table) if self.release else None
        return None if number is None else self.generations[table, number]

    def ends(self, table: TableName, number: int) -> bool:
        """Return whether a generation is of a replay up to an end on the tape: what comes behind it never comes in."""
        generation = self.generations.get((table, number))
        replay = None if generation is None or generation.replay is None else self.replays.get(generation.replay)
        asked = {} if replay is None else replay.plan.get("asked", {})
        return any(name in asked for name in ("to_version", "to_time"))

    def losses_of(self, table: TableName) -> tuple[AcceptedLoss, ...]:
        """Return what was accepted as lost of a tape, oldest first."""
        return tuple(loss for loss in self.losses if loss.table == table)

    def next_generation(self, table: TableName) -> int:
        """Return the number of a table's next generation; numbers are never used again."""
        return max((n for t, n in self.generations if t == table), default=0) + 1

    def state_of(self, generation: Generation) -> GenerationState:
        """Live, a replay's candidate, kept for a validation, retired, expired, or discarded with its replay."""
        if (generation.table, generation.number) in self.expired:
            return "expired"
        if self.live(generation.table) == generation:
            return "live"
        replay = self.replays.get(generation.replay or "")
        if replay is not None and replay.state in ("building", "held"):
            return "candidate"
        if replay is not None and replay.state in ("validated", "discarded"):
            return replay.state
        return "retired"

    def open_replay(self) -> Replay | None:
        """The replay that is being built or waits for a person, if there is one."""
        return next((r for r in self.replays.values() if r.state in ("building", "held")), None)

    @property
    def previous_release(self) -> int | None:
        """The release that was current before the current one was made."""
        earlier = [n for n in self.releases if self.current is not None and n < self.current]
        return max(earlier, default=None)


def fold(events: Iterable[Event], version: int) -> State:
    """Return what `events`, oldest first, add up to."""
    generations: dict[tuple[TableName, int], Generation] = {}
    releases: dict[int, Release] = {}
    replays: dict[str, Replay] = {}
    current: int | None = None
    gone: list[Event] = []
    for event in events:
        body = event.body
        match event.kind:
            case "generation_created":
                made = _generation(event)
                generations[made.table, made.number] = made
            case "logic_forwarded":
                key = _key(body)
                generations[key] = replace(generations[key], code_version=body["code_version"])
            case "release_created":
                release = _release(event)
                releases[release.number] = release
                current = release.number
            case "release_selected":
                current = body["release"]
            case "replay_started":
                replays[body["id"]] = _replay(event)
            case "replay_compared":
                replays[body["id"]] = replace(replays[body["id"]], comparison=body["comparison"])
            case "replay_held" | "replay_promoted" | "replay_validated" | "replay_discarded":
                state: ReplayState = event.kind.removeprefix("replay_")  # type: ignore[assignment]  # one of the four
                replays[body["id"]] = replace(replays[body["id"]], state=state)
            case "generation_expired" | "vacuumed" | "loss_accepted":
                gone.append(event)
            case unknown:
                raise LakeError(
                    f"the registry holds an event of an unknown kind, {unknown!r}",
                    hint="It was written by a newer kappa_assets; upgrade this one.",
                )
    expired = frozenset(_key(e.body) for e in gone if e.kind == "generation_expired")
    vacuumed = sorted((_key(e.body), e.body["version"]) for e in gone if e.kind == "vacuumed")
    losses = tuple(_loss(e) for e in gone if e.kind == "loss_accepted")
    return State(version, generations, releases, current, replays, expired, dict(vacuumed), losses)


def without_outdated(events: Sequence[Event]) -> list[Event]:
    """Return the events, oldest first, without those that later ones have made pointless: they fold into the same.

    Of what was vacuumed of a generation only the newest version counts. Upkeep says it every hour for every table;
    all else comes from people, and stays to be read.
    """
    newest: dict[tuple[TableName, int], int] = {}
    for event in events:
        if event.kind == "vacuumed":
            newest[_key(event.body)] = max(event.body["version"], newest.get(_key(event.body), -1))
    kept: list[Event] = []
    for event in reversed(events):
        if event.kind != "vacuumed":
            kept.append(event)
        elif newest.get(_key(event.body)) == event.body["version"]:
            del newest[_key(event.body)]
            kept.append(event)
    return kept[::-1]


def _key(body: Mapping[str, Any]) -> tuple[TableName, int]:
    return TableName.parse(body["table"]), body["generation"]


def _generation(event: Event) -> Generation:
    body = event.body
    return Generation(
        table=TableName.parse(body["table"]),
        number=body["generation"],
        code_version=body["code_version"],
        upstream=body["upstream"],
        from_batch=body["from_batch"],
        kept_from=body["kept_from"],
        replay=body["replay"],
        created_at=event.at,
        to_batch=body.get("to_batch"),
        reads=TableName.parse(body["reads"]) if body.get("reads") else None,
        also_reads=_tables(body.get("also_reads") or {}),
    )


def _replay(event: Event) -> Replay:
    body = event.body
    candidates, live = _tables(body["candidates"]), _tables(body.get("live", {}))
    return Replay(body["id"], "building", candidates, body["plan"], event.at, live=live)


def _loss(event: Event) -> AcceptedLoss:
    body = event.body
    return AcceptedLoss(
        table=TableName.parse(body["table"]),
        source=body["source"],
        by=body["by"],
        at=event.at,
        reason=body["reason"],
        missing=body["missing"],
        stood=(body["stood"]["checkpoint"], body["stood"]["batch"]),
        begins=body["begins"],
        incarnation=body["incarnation"],
    )


def _release(event: Event) -> Release:
    body = event.body
    return Release(body["release"], _tables(body["tables"]), body["reason"], body["replay"], event.at)


def _tables(body: Mapping[str, int]) -> dict[TableName, int]:
    return {TableName.parse(name): number for name, number in body.items()}
