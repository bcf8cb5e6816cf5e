"""What all commands share: where the lake, the pipeline and the landing folder are, and how an answer is given."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.group import COMMON, Failed, common_options
from kappa_assets.cli.progress import Progress
from kappa_assets.errors import InvalidName, LakeError
from kappa_assets.names import TableName

if TYPE_CHECKING:
    from kappa_assets.graph import Pipeline
    from kappa_assets.kinds.query import Setting
    from kappa_assets.place.local.lake import Lake
    from kappa_assets.place.registry import AcceptedLoss


@dataclass(frozen=True)
class Where:
    """What the common options name. Nothing is opened before it is asked for."""

    lake_path: Path | None
    pipeline_name: str | None
    landing_path: Path | None
    json: bool

    def lake(self, *, make: bool = False) -> Lake:
        """Return the lake. Raises LakeError when it is not there and may not be made."""
        from kappa_assets.place.local.lake import Lake

        if self.lake_path is None:
            raise click.UsageError("Missing option '--lake' (or KAPPA_LAKE): the folder the tables live in.")
        if make:
            return Lake.at(self.lake_path)
        root = self.lake_path.expanduser().resolve()
        if not root.is_dir():
            raise LakeError(f"there is no lake at {str(root)!r}", hint="kappa stream and kappa drain make one there.")
        return Lake(root)

    def pipeline(self) -> Pipeline:
        """Return the pipeline. Modules in the working directory are found, as with `python -m`.

        There is no default: it would make its tables in whatever lake is named. With KAPPA_SOURCE=kafka its tapes read
        topics in the place of folders.
        """
        from kappa_assets.graph import load_pipeline

        if self.pipeline_name is None:
            raise click.UsageError(
                "Missing option '--pipeline' (or KAPPA_PIPELINE): the module, or .py file, that declares the tables.\n"
                "Hint: The example's is kappa_assets.pipelines.retail."
            )
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        return load_pipeline(self.pipeline_name).read_from(os.environ.get("KAPPA_SOURCE"))

    def landing(self) -> Path:
        """The folder whose subfolders files land in. Raises click's UsageError when none is named."""
        if self.landing_path is None:
            raise click.UsageError("Missing option '--landing' (or KAPPA_LANDING): the folder files land in.")
        return self.landing_path.expanduser().resolve()


class TableArgument(click.ParamType):  # type: ignore[type-arg]  # a parameter since click 8.4 only
    """A table's name, `layer.name`, of one of the layers named."""

    name = "table"

    def __init__(self, *layers: str) -> None:
        self._layers = layers

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TableName:
        """Return the table that a word names; fails with how names are written."""
        if isinstance(value, TableName):
            return value
        try:
            found = TableName.parse(value)
        except InvalidName as error:
            self.fail(str(error), param, ctx)
        if self._layers and found.layer not in self._layers:
            self.fail(f"{value!r} is not a {' or '.join(self._layers)} table", param, ctx)
        return found


def command(function: Callable[..., Answer]) -> click.Command:
    """Make a command of a function that takes a Where and the command's own options, and returns an Answer.

    While it runs, whatever is printed goes to standard error, be it by Spark or by a pipeline's own code; standard
    output gets the answer alone.
    """

    @functools.wraps(function)
    def run(**own: Any) -> None:
        context = click.get_current_context()
        where = Where(**{name: _given(context, name, own.pop(name)) for name in COMMON})
        with _nothing_on_stdout():
            answer = function(where, **own)
        answer.give(as_json=where.json)
        if answer.failure is not None:
            raise Failed(answer.failure)

    return click.command(name=function.__name__.replace("_", "-"))(common_options(run))


def setting_of(
    where: Where,
    shown: Progress,
    *,
    landing: bool = True,
    cores: int | None = None,
    live: bool = False,
    background: bool = False,
    packages: tuple[str, ...] = (),
) -> Setting:
    """Start Spark and return where queries run. A replay reads the tape alone, and needs no landing folder.

    `live`: it streams until stopped. `background`: let live streams on this machine go first. `packages`: what Spark
    needs for the pipeline beside Delta.
    """
    from kappa_assets.host.session import build_session, go_behind
    from kappa_assets.kinds.query import Setting

    lake = where.lake(make=landing)
    folder = where.landing() if landing else lake.root
    shown.say("starting Spark")
    if background:
        go_behind()
    return Setting(build_session("kappa", cores=cores, live=live, packages=packages), lake, folder)


def status_answer(lake: Lake, pipeline: Pipeline) -> Answer:
    """Return the status of every table, and of the host."""
    from kappa_assets.host.host_status import host_alive
    from kappa_assets.place.registry import Registry
    from kappa_assets.status import table_statuses

    losses = [loss for b in pipeline.bronzes for loss in Registry(lake).state().losses_of(b.name)]

    rows = [
        {
            "table": str(s.table),
            "generation": s.generation,
            "version": s.version,
            "rows": s.rows,
            "position": s.position,
            "head": s.head,
            "lag_batches": s.lag_batches,
            "lag_seconds": round(s.lag_seconds, 1),
            "unread": s.query.unread if s.query else None,
            "state": s.state,
            "error": s.query.error if s.query else None,
            "logic": _logic(s.code_version, s.deployed_version),
            "code_version": s.code_version,
            "deployed_version": s.deployed_version,
            "last_commit_at": s.last_commit_at,
            "accepted_losses": [_told(loss) for loss in losses if loss.table == s.table],
        }
        for s in table_statuses(lake, pipeline)
    ]
    alive = host_alive(lake)
    host = "no host runs" if alive is None else f"host: {alive}"
    shown = (
        "table",
        "generation",
        "version",
        "rows",
        "position",
        "lag_batches",
        "lag_seconds",
        *(["unread"] if any(row["unread"] for row in rows) else []),
        "state",
        "logic",
    )
    remarks = [f"{row['table']}: {row['error']}" for row in rows if row["error"]]
    remarks += [f"{loss.table}: {loss.summary}" for loss in losses]
    return Answer(rows, shown, f"{lake.called}, {host}", remark="\n".join(remarks) or None)


def _told(loss: AcceptedLoss) -> dict[str, object]:
    told = {"source": loss.source, "at": loss.at, "by": loss.by, "reason": loss.reason}
    return told | {"missing": dict(loss.missing)}


def _logic(written: str | None, deployed: str | None) -> str | None:
    if written is None or deployed is None:
        return None
    return "current" if written == deployed else "changed"


def _given(context: click.Context, name: str, value: Any) -> Any:
    """Return a common option's value: named after the command, else before it, else from the environment."""
    group, written = context.parent, click.core.ParameterSource.COMMANDLINE
    said_before = group is not None and group.get_parameter_source(name) is written
    said_after = context.get_parameter_source(name) is written
    return group.params[name] if group is not None and said_before and not said_after else value


@contextmanager
def _nothing_on_stdout() -> Iterator[None]:
    """Send standard output to standard error for the block, for the processes started in it too: a JVM logs to it."""
    try:
        stdout = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):  # a test's buffer
        with redirect_stdout(sys.stderr):
            yield
        return
    sys.stdout.flush()
    kept = os.dup(stdout)
    os.dup2(2, stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, stdout)
        os.close(kept)
