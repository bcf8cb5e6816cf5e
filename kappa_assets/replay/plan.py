"""What a replay will do, decided before anything is done. Planning reads registry and logs, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kappa_assets.commit import Position
from kappa_assets.declare.code_version import code_version
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.delta_log import last_note
from kappa_assets.errors import ReplayError
from kappa_assets.graph import Pipeline
from kappa_assets.lake import Lake
from kappa_assets.registry import Generation, Registry, State
from kappa_assets.table import Layer, TableName
from kappa_assets.tape import Tape


@dataclass(frozen=True)
class Step:
    """One candidate to build: which generation, from which upstream generation, from which tape batch on."""

    table: TableName
    generation: int
    upstream: TableName
    upstream_generation: int
    code_version: str
    live_generation: int | None
    live_code_version: str | None
    from_batch: int
    kept_from: int | None
    """The live generation whose rows before `from_batch` are kept; None when everything is computed anew."""
    tape_rows: int
    """Rows on the tape that it, or the Silver above it, plays again."""


@dataclass(frozen=True)
class ReplayPlan:
    """The candidates to build, in order, and what they were planned on."""

    tables: tuple[TableName, ...]
    from_version: int
    head: dict[str, Position]
    steps: tuple[Step, ...]

    @property
    def summary(self) -> str:
        """One line for logs and terminals."""
        built = ", ".join(f"{s.table} g{s.generation}" for s in self.steps)
        start = "inception" if self.from_version == 0 else f"Bronze version {self.from_version}"
        return f"replay from {start}: build {built} beside the live tables"

    def rows(self) -> list[dict[str, Any]]:
        """One row per step, for a table or JSON."""
        return [
            {
                "step": number,
                "table": str(s.table),
                "candidate": f"g{s.generation}",
                "live": None if s.live_generation is None else f"g{s.live_generation}",
                "logic": "same" if s.code_version == s.live_code_version else "changed",
                "reads": f"{s.upstream} g{s.upstream_generation}",
                "from_batch": s.from_batch,
                "keeps": None if s.kept_from is None else f"rows before batch {s.from_batch} of g{s.kept_from}",
                "tape_rows": s.tape_rows,
            }
            for number, s in enumerate(self.steps, 1)
        ]

    def facts(self) -> dict[str, Any]:
        """The plan as it is stored in the registry."""
        return {
            "tables": [str(t) for t in self.tables],
            "from_version": self.from_version,
            "head": {name: asdict(p) for name, p in self.head.items()},
            "steps": self.rows(),
        }


def plan_replay(lake: Lake, pipeline: Pipeline, tables: Sequence[TableName], *, from_version: int = 0) -> ReplayPlan:
    """Return the plan of a replay of `tables` and everything downstream, from a Bronze version on (0: inception).

    With a later start a row-by-row Silver keeps its live rows from before it; Gold is always rebuilt from the candidate
    upstream. Raises ReplayError when another replay is open, the version does not exist, nothing was written yet, or
    the live table has not come as far as the start; DeclarationError for a Bronze table.
    """
    if not tables:
        raise ReplayError("a replay needs at least one table", hint="--tables silver.<name>")
    state = Registry(lake).state()
    _refuse_second(state)
    chosen = [pipeline.derived_table(name).name for name in tables]
    affected = {n for t in chosen for n in (t, *pipeline.downstream(t))}
    tapes = {pipeline.tape_of(t): Tape(lake, pipeline.tape_of(t)) for t in affected}
    starts = {name: _first_batch(tape, from_version) for name, tape in tapes.items()}
    steps: dict[TableName, Step] = {}
    for table in pipeline.derived:
        if table.name in affected:
            tape = tapes[pipeline.tape_of(table.name)]
            steps[table.name] = _step(lake, pipeline, state, table, tape, starts[tape.bronze], steps)
    return ReplayPlan(tuple(chosen), from_version, {str(n): t.head() for n, t in tapes.items()}, tuple(steps.values()))


def _step(
    lake: Lake,
    pipeline: Pipeline,
    state: State,
    table: Silver | Gold,
    tape: Tape,
    start: int,
    above: dict[TableName, Step],
) -> Step:
    upstream = pipeline.upstreams[table.name]
    live = state.live(table.name)
    keeps = start > 0 and isinstance(table, Silver) and live is not None
    if keeps and live is not None:
        _check_reached(lake, live, tape, start)
    upstream_live = None if upstream.layer is Layer.BRONZE else state.live(upstream)
    return Step(
        table=table.name,
        generation=state.next_generation(table.name),
        upstream=upstream,
        upstream_generation=above[upstream].generation
        if upstream in above
        else (upstream_live.number if upstream_live else 1),
        code_version=code_version(table),
        live_generation=live.number if live else None,
        live_code_version=live.code_version if live else None,
        from_batch=start if keeps else 0,
        kept_from=live.number if keeps and live is not None else None,
        tape_rows=sum(c.rows for c in tape.commits() if c.batch >= (start if keeps else 0)),
    )


def _first_batch(tape: Tape, from_version: int) -> int:
    if not tape.commits():
        raise ReplayError(
            f"{tape.bronze} holds nothing yet", hint="Let data land first: kappa drain, or start the stream."
        )
    if from_version > tape.head().version:
        tape.position_at(from_version)
    return tape.first_batch_from(from_version)


def _check_reached(lake: Lake, live: Generation, tape: Tape, start: int) -> None:
    found = last_note(lake.folder(live.table, live.number))
    reached = found[1].position.get(str(tape.bronze)) if found else None
    if reached is None or reached.batch < start - 1:
        raise ReplayError(
            f"{live.table} g{live.number} has reached {reached or 'nothing yet'}; a replay from batch {start} would "
            f"keep its rows up to batch {start - 1}",
            hint="Choose an earlier version, or 0 for inception.",
        )


def _refuse_second(state: State) -> None:
    found = state.open_replay()
    if found is not None and found.state == "held":
        raise ReplayError(
            f"replay {found.id} waits to be promoted",
            hint=f"kappa promote {found.id}, or kappa discard {found.id}, first.",
        )
