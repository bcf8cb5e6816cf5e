"""What Materialize does beyond catching up: slices are repaired, or a table whose logic changed is replayed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import dagster as dg

from kappa_assets.declare.tables import Derived, Table
from kappa_assets.errors import LogicChanged
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.tape import Tape
from kappa_assets.orchestration.catch_up import catch_up, caught_up_events, inputs_of
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.switch import Switch
from kappa_assets.orchestration.lineage.provenance import data_version, provenance_tags
from kappa_assets.orchestration.replay_options import ReplayOptions
from kappa_assets.orchestration.resources import KappaSpark
from kappa_assets.orchestration.shown.render import compared_events
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry, Replay
from kappa_assets.repair import RepairedSlice, plan_repair, run_repair
from kappa_assets.replay import plan_replay, run_replay

Say = Callable[[str], None]
Events = list[dg.AssetMaterialization]


class Rebuild:
    """One press of Materialize on one table, with the slices that were chosen (none: the whole table)."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        folders: Folders,
        pipeline: Pipeline,
        table: Table,
        spark: KappaSpark,
        options: ReplayOptions,
        say: Say,
    ) -> None:
        self._context = context
        self._folders = folders
        self._lake: Lake = folders.lake()
        self._pipeline = pipeline
        self._table = table
        self._spark = spark
        self._options = options
        self._say = say
        self._switch = Switch(context.instance, context.run.run_id, None)

    def run(self, partitions: Sequence[str | None]) -> Events:
        """Do what the options and the logic ask for, and return an event for each slice."""
        if not isinstance(self._table, Derived):
            return self._caught_up(partitions)
        days = [dt.date.fromisoformat(p) for p in partitions if p is not None]
        written = self._has_position()
        why = self._why_replayed(slices=bool(days) and written)
        if why is not None:
            return self._replay(partitions, why)
        if self._logic_changed():
            raise LogicChanged(
                f"{self._table.name} was written by other logic than is deployed: a repair would mix two in one table",
                origin=self._table.origin,
                hint="Set mode to auto or replay, or deploy the old logic again.",
            )
        events = self._caught_up(partitions) if self._options.bronze_version is None or not written else []
        # What was drained for the first time just now was computed by this very logic.
        return self._repair(days) if kind_of(self._table).keeps_addresses and days and written else events

    def _why_replayed(self, *, slices: bool) -> str | None:
        """Return why the table is replayed; None where it is not. `slices`: whether some were chosen that it has."""
        assert isinstance(self._table, Derived)  # noqa: S101 -- for mypy; a tape is not replayed
        if self._options.mode == "replay":
            return "mode is replay"
        if self._options.mode == "auto" and self._logic_changed():
            return "its logic changed"
        kind = kind_of(self._table)
        as_it_is = self._options.mode == "auto" and self._options.bronze_version is None
        if slices and as_it_is and kind.keeps_addresses and not kind.repairable:
            return f"no slice of a table that is {kind.name} is done over alone"
        return None

    def _caught_up(self, partitions: Sequence[str | None]) -> Events:
        said = catch_up(self._context, self._folders, self._pipeline, self._table, self._spark)
        self._say(said)
        return caught_up_events(self._context.instance, self._lake, self._pipeline, self._table, partitions, said)

    def _logic_changed(self) -> bool:
        table, live = self._table, Registry(self._lake).state().live(self._table.name)
        if not isinstance(table, Derived) or live is None or table.on_change == "forward":
            return False
        return live.code_version != code_version(table)

    def _has_position(self) -> bool:
        name, state = self._table.name, Registry(self._lake).state()
        tapes = [Tape(self._lake, bronze) for bronze in self._pipeline.tapes_of(name)]
        return any(live_position(self._lake, state, name, tape).batch >= 0 for tape in tapes)

    def _repair(self, days: list[dt.date]) -> Events:
        """Repair the slices. When it is interrupted, those that are done get their events all the same."""
        plan = plan_repair(
            self._lake, self._pipeline, self._table.name, days, bronze_version=self._options.bronze_version
        )
        self._say(plan.summary)
        setting = self._spark.setting(self._folders, self._pipeline, cores=self._options.cores, background=True)
        events: Events = []
        try:
            for done in run_repair(setting, self._pipeline, plan, progress=self._say, wanted=self._switch):
                events.append(self._repaired(done))
        except BaseException:
            for event in events:
                self._context.log_event(event)
            if self._switch.terminated:
                raise dg.DagsterExecutionInterruptedError from None
            raise
        return events

    def _repaired(self, done: RepairedSlice) -> dg.AssetMaterialization:
        day = done.slice.isoformat()
        generation = Registry(self._lake).state().generations[done.table, done.generation]
        version = data_version(generation.number, done.version)
        inputs = inputs_of(self._context.instance, self._pipeline, self._table, day)
        text = (
            f"{version}: repaired, {done.rows:,} rows in the place of {done.replaced:,}. "
            f"Read {self._pipeline.tape_of(done.table)} up to {done.upto}."
        )
        return dg.AssetMaterialization(
            dg.AssetKey(done.table.key),
            description=text,
            partition=day,
            metadata={
                "rows": done.rows,
                "replaced": done.replaced,
                "version": done.version,
                "generation": generation.number,
                "tape_batch": done.upto.batch,
                "tape_version": done.upto.version,
            },
            tags=provenance_tags(version, done.code_version, inputs),
        )

    def _replay(self, partitions: Sequence[str | None], why: str) -> Events:
        """Replay from the first slice chosen, unless this backfill has done so already for a table above or a slice."""
        first = min((p for p in partitions if p is not None), default=None)
        earlier = self._replayed_since(self._began())
        if earlier is not None:
            said = f"replay {earlier.id}, launched by the same backfill, rebuilt this table too; it is {earlier.state}"
        else:
            where = "inception" if first is None else f"slice {first}"
            self._say(f"{self._table.name} is replayed from {where} to the head of the tape, not repaired: {why}")
            said = self._run_replay(first)
        self._say(said)
        return caught_up_events(self._context.instance, self._lake, self._pipeline, self._table, partitions, said)

    def _run_replay(self, first: str | None) -> str:
        plan = plan_replay(self._lake, self._pipeline, [self._table.name], from_time=first)
        self._say(plan.text)
        result = run_replay(
            self._spark.setting(self._folders, self._pipeline, cores=self._options.cores, background=True),
            self._pipeline,
            plan,
            promote=self._options.promote,
            limits=self._options.limits.limits(),
            max_bytes_per_batch=self._options.max_bytes_per_batch,
            progress=self._say,
            wanted=self._switch,
        )
        for event in compared_events(result):
            self._context.log_event(event)
        return f"replay {result.id} is {result.state}" + (f" as release {result.release}" if result.release else "")

    def _replayed_since(self, began: float) -> Replay | None:
        replays = Registry(self._lake).state().replays.values()
        mine = [r for r in replays if self._table.name in r.candidates and r.state != "discarded"]
        return next((r for r in mine if dt.datetime.fromisoformat(r.created_at).timestamp() >= began), None)

    def _began(self) -> float:
        """Return when the backfill that launched this run was made, or the run when it stands alone."""
        backfill = self._context.run.tags.get("dagster/backfill")
        found = self._context.instance.get_backfill(backfill) if backfill else None
        if found is not None:
            return float(found.backfill_timestamp)
        record = self._context.instance.get_run_record_by_id(self._context.run.run_id)
        return 0.0 if record is None else record.create_timestamp.timestamp()
