"""Commands about landed files that were set aside: rejects lists them, retry has them taken again. Without Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command
from kappa_assets.names import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.declare.tables import Bronze
    from kappa_assets.sources.files.set_aside import SetAsideFiles


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
def rejects(where: Where, bronze: TableName) -> Answer:
    """List the landed files that were set aside, and why.

    A file is known by its path below the landing folder. `retried as`: the name under which it was put back.
    """
    _, aside = _set_aside(where, bronze)
    rows = [
        {"file": r.file, "reason": r.reason, "at": r.at, "batch": r.batch, "retried_as": r.retried_as}
        for r in aside.all()
    ]
    return Answer(rows, title=f"{bronze}: {len(rows)} files set aside")


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
@click.option("--file", "files", multiple=True, help="A path below the landing folder; again for more. Else all.")
def retry(where: Where, bronze: TableName, files: tuple[str, ...]) -> Answer:
    """Have files that were set aside taken again.

    For files that are sound now: mended in their place, readable again, or fit for the table as it is declared now.
    Each is renamed, `a.csv` to `a.retry-1.csv`, and the stream takes it as one that landed; it may run meanwhile. One
    that still cannot be taken is set aside again.
    """
    table, aside = _set_aside(where, bronze)
    done = aside.retry(where.landing() / table.source.folder, files)
    rows = [{"file": file, "retried_as": name} for file, name in done.items()]
    return Answer(rows, title="the stream takes these next" if rows else f"no file set aside from {bronze} lies there")


def _set_aside(where: Where, bronze: TableName) -> tuple[Bronze, SetAsideFiles]:
    from kappa_assets.declare.tables import Bronze
    from kappa_assets.sources.files.set_aside import SetAsideFiles

    table = where.pipeline()[bronze]
    assert isinstance(table, Bronze)  # noqa: S101 -- for mypy; only a tape has a name in the layer Bronze
    return table, SetAsideFiles(where.lake(), bronze)
