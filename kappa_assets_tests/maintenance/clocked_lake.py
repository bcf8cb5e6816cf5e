"""A lake whose history and clocks are made up: logs written by hand, files of one byte, and a model of who needs what.

The clock may go back and forth by weeks: commits, removals and files carry the time that it told then.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deltalake import DeltaTable

from kappa_assets import Pipeline
from kappa_assets.log.note import CommitNote, InputRange, Offset
from kappa_assets.log.releases import release_condition
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.maintenance.upstreams import Key
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Event, Registry, State, events
from kappa_assets.replay import discard_replay
from kappa_assets_tests.written_logs import _TABLE, CLICKS, PAGES, PIPELINE, VISITS

POLICY = Policy(keep_releases=1, keep_commits=100, optimize=False)
UPSTREAM = {VISITS: CLICKS, PAGES: VISITS}


@dataclass
class Log:
    """What the model knows of one generation: per version the files added, removed, and whether rows changed."""

    commits: list[tuple[set[str], set[str], bool]] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    read: int | None = None
    """The first version of its upstream that it has not read; None before its first batch."""
    linked: set[str] = field(default_factory=set)
    """Files that a replay has linked and not committed yet."""
    loose: set[str] = field(default_factory=set)
    """Files of writers that have not committed them yet, or were killed."""
    stuck: bool = False
    """It was retired, and rows that it has not read were vacuumed: the registry says that it needs a replay."""


class ClockedLake:
    def __init__(self, where: Path) -> None:
        self.lake = Lake.at(where)
        self.registry = Registry(self.lake)
        self.clock = self.latest = dt.datetime.now(dt.UTC)
        self.changed: dict[int, float] = {}
        """When each file changed last, by inode, as the clock told."""
        self.logs: dict[Key, Log] = {}
        self._names = 0
        self._batches = 0
        self._create((CLICKS, 1))
        self._generations(1, told=False)
        self._say(events.release_created(1, {VISITS: 1, PAGES: 1}, "first"))

    def last_change(self, stat: os.stat_result) -> float:
        """Stand in for the kernel's times, which no test can set."""
        return self.changed.get(stat.st_ino, self.latest.timestamp())

    # What happens to a lake.

    def step_clock(self, days: float) -> None:
        self.clock += dt.timedelta(days=days)
        self.latest = max(self.latest, self.clock)

    def land(self) -> None:
        batch = self._batches
        self._batches += 1
        self._commit(
            (CLICKS, 1), {self._file((CLICKS, 1))}, set(), CommitNote(str(CLICKS), 1, batch, "", tape_batch=batch)
        )

    def read(self, table: TableName, which: Literal["live", "candidate"]) -> None:
        """Have a live table, or a candidate, read all that its upstream holds, and write one file."""
        key = self._moving(table, which)
        if key is None:
            return
        log, above = self.logs[key], self._above(key)
        until = len(self.logs[above].commits)
        if log.stuck or log.linked or log.read == until:
            return
        since = None if log.read is None else Offset(log.read, -1, False)
        read = InputRange(above[1], since, Offset(until, -1, False), until - 1)
        note = CommitNote(str(table), key[1], len(log.commits), "logic", reads={str(above[0]): read})
        gone = set(log.live) if table.layer is Layer.GOLD else set[str]()
        log.read = until
        self._commit(key, {self._file(key)}, gone, note)

    def rewrite(self, table: TableName, how: Literal["optimize", "repair"]) -> None:
        """Put one file in the place of several; a repair, of Silver alone, changes rows."""
        key, rows = self._moving(table, "live"), how == "repair"
        if key is not None and len(self.logs[key].live) > 1 and not (rows and table != VISITS):
            gone = set(sorted(self.logs[key].live)[:3])
            self._commit(key, {self._file(key)}, gone, self._same_note(key) if rows else None, rows=rows)

    def begin_to_write(self, table: TableName) -> None:
        key = self._moving(table, "live")
        if key is not None:
            self.logs[key].loose.add(self._file(key))

    def checkpoint(self, table: TableName) -> None:
        key = self._moving(table, "live")
        if key is not None and self.logs[key].commits:
            DeltaTable(self.lake.folder(*key)).create_checkpoint()

    def replay(self) -> None:
        """Begin a replay that keeps the live rows: they are linked, and not committed."""
        state = self.registry.state()
        live = state.live(VISITS)
        if state.open_replay() is not None or live is None:
            return
        number = state.next_generation(VISITS)
        self._generations(number, replay=f"r{number}", kept_from=live.number)
        self._say(events.replay_started(f"r{number}", {VISITS: number, PAGES: number}, {}))
        for path in sorted(self.logs[VISITS, live.number].live):
            link = self._name()
            target = self.lake.folder(VISITS, number) / link
            target.parent.mkdir(parents=True)
            target.hardlink_to(self.lake.folder(VISITS, live.number) / path)
            self._touched(target)
            self.logs[VISITS, number].linked.add(link)

    def keep_rows(self) -> None:
        found = self.registry.state().open_replay()
        if found is not None and found.state == "building":
            key = (VISITS, found.candidates[VISITS])
            linked, self.logs[key].linked = self.logs[key].linked, set()
            self._commit(key, linked, set(), CommitNote(str(VISITS), key[1], -1, "logic"))

    def settle_replay(self, how: str) -> None:
        """Hold, promote or discard the open replay; one whose rows are not kept yet can only be discarded."""
        state = self.registry.state()
        found = state.open_replay()
        if found is None:
            return
        if how == "discard":
            discard_replay(self.lake, found.id)
        elif not self.logs[VISITS, found.candidates[VISITS]].linked:
            release = events.release_created(max(state.releases) + 1, found.candidates, "replay", replay=found.id)
            self._say(
                *([release, events.replay_promoted(found.id)] if how == "promote" else [events.replay_held(found.id)])
            )

    def select(self, release: int) -> None:
        """Roll back, or forth again, as `rollback` does: never to what has expired."""
        state = self.registry.state()
        found = state.releases.get(release)
        condition = None if found is None else release_condition(self.lake, state, found)
        if found is None or condition == "expired" or release == state.current:
            return
        for key in found.tables.items():
            self.logs[key].stuck |= condition != "kept"
        self._say(events.release_selected(release, ""))

    def maintain(self, deployed: Pipeline) -> None:
        maintain(self.lake, deployed, POLICY, now=self.clock, progress=lambda _: None)

    # What must be so.

    def check_needed(self) -> None:
        """Raise AssertionError if something is gone that a table or a reader needs."""
        state = self.registry.state()
        for key in self._needed(state):
            log, folder = self.logs[key], self.lake.folder(*key)
            self._assert_there(folder, log.live | log.linked, f"{key} is broken")
            table = DeltaTable(folder)
            assert table.version() == len(log.commits) - 1
            assert {str(path) for path in table.file_uris()} == {str(folder / path) for path in log.live}
        for key in self._readers(state):
            log, above = self.logs[key], self._above(key)
            if log.read is None or log.stuck:
                continue
            folder = self.lake.folder(*above)
            for version in range(log.read, len(self.logs[above].commits)):
                added, removed, rows = self.logs[above].commits[version]
                assert (folder / "_delta_log" / f"{version:020d}.json").exists(), f"{key} cannot go on from {version}"
                self._assert_there(folder, (added | removed) if rows else set(), f"{key} has not read {version}")

    def check_nothing_else(self) -> None:
        """Raise AssertionError if something is left that nobody needs. The newest release stays, rolled back or not."""
        state = self.registry.state()
        kept = self._needed(state) | set(state.releases[max(state.releases)].tables.items())
        for key in self.logs:
            folder = self.lake.folder(*key)
            found = {str(p.relative_to(folder)) for p in folder.glob("data/**/*.parquet")} if folder.exists() else set()
            assert found == (self.logs[key].live if key in kept else set()), key

    def _needed(self, state: State) -> set[Key]:
        found = {(CLICKS, 1), *self._readers(state)}
        replay = state.open_replay()
        if replay is not None:
            found |= {(t, g) for t, n in replay.candidates.items() if (g := state.generations[t, n].kept_from)}
        return found

    def _readers(self, state: State) -> set[Key]:
        replay = state.open_replay()
        assert state.release is not None
        return {*state.release.tables.items(), *(replay.candidates.items() if replay else ())}

    @staticmethod
    def _assert_there(folder: Path, paths: Collection[str], why: str) -> None:
        gone = [path for path in paths if not (folder / path).exists()]
        assert not gone, f"{why}: {gone}"

    # How it is written.

    def _moving(self, table: TableName, which: Literal["live", "candidate"]) -> Key | None:
        if table == CLICKS:
            return (CLICKS, 1)
        state = self.registry.state()
        replay = state.open_replay()
        if which == "candidate":
            return None if replay is None else (table, replay.candidates[table])
        assert state.release is not None
        return (table, state.release.tables[table])

    def _above(self, key: Key) -> Key:
        return (CLICKS, 1) if key[0] == VISITS else (VISITS, self.registry.state().generations[key].upstream)

    def _generations(
        self, number: int, *, replay: str | None = None, kept_from: int | None = None, told: bool = True
    ) -> None:
        """Make a Silver and a Gold that reads it. `told`: the event says what it reads, as older ones did not."""
        for table, upstream in ((VISITS, 1), (PAGES, number)):
            kept = kept_from if table == VISITS else None
            reads = UPSTREAM[table] if told else None
            more = {"upstream": upstream, "kept_from": kept, "replay": replay, "reads": reads}
            self._say(events.generation_created(table, number, "logic", **more))  # type: ignore[arg-type]  # by name
            self._create((table, number))

    def _create(self, key: Key) -> None:
        self.logs[key] = Log()
        self._commit(key, set(), set(), None)

    def _same_note(self, key: Key) -> CommitNote:
        """Return the note of a repair: it reads no further."""
        log, above = self.logs[key], self._above(key)
        until = log.read or 0
        read = {str(above[0]): InputRange(above[1], None, Offset(until, -1, False), until - 1)} if log.read else {}
        return CommitNote(str(key[0]), key[1], len(log.commits), "logic", reads=read)

    def _commit(self, key: Key, add: set[str], remove: set[str], note: CommitNote | None, *, rows: bool = True) -> None:
        folder, log, now = self.lake.folder(*key), self.logs[key], int(self.clock.timestamp() * 1000)
        info = {"timestamp": now, "operation": "WRITE", "userMetadata": note.to_json() if note else None}
        actions: list[object] = [{"commitInfo": info}]
        if not log.commits:
            meta = {**_TABLE[1]["metaData"], "partitionColumns": []}
            actions += [_TABLE[0], {"metaData": meta}]
        for name in sorted(add):
            stats = json.dumps({"numRecords": 1})
            told = {"size": 1, "modificationTime": now, "dataChange": rows, "partitionValues": {}, "stats": stats}
            actions.append({"add": {"path": name, **told}})
        for name in sorted(remove):
            actions.append({"remove": {"path": name, "deletionTimestamp": now, "dataChange": rows}})
        path = folder / "_delta_log" / f"{len(log.commits):020d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, actions)) + "\n")
        log.commits.append((add, remove, rows))
        log.live = (log.live - remove) | add

    def _file(self, key: Key) -> str:
        name = self._name()
        path = self.lake.folder(*key) / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        self._touched(path)
        return name

    def _name(self) -> str:
        self._names += 1
        return f"data/{self._names}/part-0.parquet"

    def _touched(self, path: Path) -> None:
        self.changed[path.stat().st_ino] = self.clock.timestamp()

    def _say(self, *said: Event) -> None:
        self.registry.commit(self.registry.state(), said)


WHOLE = PIPELINE
WITHOUT_GOLD = Pipeline.from_tables("web", [t for t in PIPELINE if t.name != PAGES])
