"""Which generations are still needed. Pure: decided from the registry's state alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.upstreams import Key, Upstreams, may_read
from kappa_assets.place.registry import Generation, Release, Replay, State


def needed(state: State, known: Upstreams, policy: Policy, now: dt.datetime) -> frozenset[Key]:
    """Return the generations that stay.

    Those of the current release, of the newest `keep_releases`, of releases younger than `keep_days`, the candidates of
    open replays (with what they keep rows of), those of young validations, and whatever one of these reads.
    """
    found: set[Key] = set()
    for release in _kept_releases(state, policy, now):
        found |= set(release.tables.items())
    for replay in state.replays.values():
        if _is_open(replay) or (replay.state == "validated" and _time(replay.created_at) >= policy.since(now)):
            found |= _with_their_past(state, replay)
    return frozenset(_with_upstreams(state, known, found))


def in_use(state: State, known: Upstreams) -> frozenset[Key]:
    """Return the generations that must be there whatever a policy says: what moves, its past, and what these read."""
    found = set(moving(state))
    for replay in state.replays.values():
        if _is_open(replay):
            found |= _with_their_past(state, replay)
    reading = [state.generations[key] for key in found if key in state.generations]
    return frozenset(found.union(*(known.get((g.table, g.number), ()) for g in reading)))


def expired(state: State, known: Upstreams, policy: Policy, now: dt.datetime) -> list[Generation]:
    """Return the generations that nothing needs any more and that are not marked as expired yet."""
    stay = needed(state, known, policy, now)
    gone = state.expired | discarded(state)
    return [g for key, g in sorted(state.generations.items()) if key not in stay and key not in gone]


def discarded(state: State) -> frozenset[Key]:
    """Return the generations of discarded replays: `discard` removes them, but may have been killed at it."""
    ids = {r.id for r in state.replays.values() if r.state == "discarded"}
    return frozenset(key for key, g in state.generations.items() if g.replay in ids)


def moving(state: State) -> frozenset[Key]:
    """Return the generations that go on reading: the live ones and the candidates of open replays."""
    found = set(state.release.tables.items()) if state.release else set()
    for replay in state.replays.values():
        if _is_open(replay):
            found |= set(replay.candidates.items())
    return frozenset(found)


def at_rest(state: State) -> frozenset[Key]:
    """Return the generations whose files may be rewritten: the live ones, and candidates that are not being built."""
    return moving(state) - building(state)


def building(state: State) -> frozenset[Key]:
    """Return the candidates that are being built: they hold files that no commit names yet, of any age."""
    return frozenset(k for r in state.replays.values() if r.state == "building" for k in r.candidates.items())


def _kept_releases(state: State, policy: Policy, now: dt.datetime) -> Iterator[Release]:
    newest = sorted(state.releases)[-policy.keep_releases :]
    for number, release in state.releases.items():
        young = _time(release.created_at) >= policy.since(now)
        if number == state.current or number in newest or young:
            yield release


def _is_open(replay: Replay) -> bool:
    return replay.state in ("building", "held")


def _with_their_past(state: State, replay: Replay) -> set[Key]:
    found = set(replay.candidates.items())
    for table, number in replay.candidates.items():
        kept_from = state.generations[table, number].kept_from
        if kept_from is not None:
            found.add((table, kept_from))
    return found


def _with_upstreams(state: State, known: Upstreams, keys: Iterable[Key]) -> set[Key]:
    found = set(keys)
    for key in keys:
        generation = state.generations.get(key)
        if generation is not None:
            found |= {k for k in state.generations if may_read(generation, k, known)}
    return found


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
