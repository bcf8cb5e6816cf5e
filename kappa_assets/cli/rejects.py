"""Commands about landed files: deliveries, rejects, and retry, which has some taken again. Without Spark."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import TableArgument, Where, command
from kappa_assets.names import Layer, TableName

if TYPE_CHECKING:
    from kappa_assets.declare.tables import Bronze
    from kappa_assets.sources.side_table import SideTable


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
@click.option(
    "--file", "pattern", default="*", help="A path below the landing folder; * and ? stand for any. Else all."
)
@click.option("--limit", default=100, show_default=True, help="How many at most, the newest first.")
def deliveries(where: Where, bronze: TableName, pattern: str, limit: int) -> Answer:
    """List the landed files that a tape has taken, and those set aside.

    `batch`: the `_batch_id` of its rows. A file that was touched, or put back, is there once more with its other time,
    and without a batch: its bytes were on the tape already. `hash`: of its bytes, where it was written down.
    """
    from kappa_assets.sources.ledger.ledger import Ledger

    _set_aside(where, bronze)
    lake = where.lake()
    with tempfile.TemporaryDirectory() as scratch:
        ledger = Ledger(Path(scratch, "ledger.sqlite"), lake.folder(bronze), lake.rejects(bronze))
        with suppress(sqlite3.DatabaseError):  # none yet, or a damaged one: all is asked of the tape
            ledger.start_from(lake.ledger(bronze))
        ledger.sync()
        found = ledger.newest(pattern, limit)
        ledger.close()
    rows = [
        {
            "file": file,
            "state": "set aside" if known.set_aside else "on the tape",
            "batch": known.batch,
            "bytes": known.bytes,
            "modified": dt.datetime.fromtimestamp(known.modified_ms / 1000, dt.UTC),
            "hash": known.hash,
        }
        for file, known in found
    ]
    return Answer(rows, title=f"{bronze}: the {len(rows)} newest" if len(rows) == limit else None)


@command
@click.argument("bronze", type=TableArgument(Layer.BRONZE))
@click.option("--file", "files", multiple=True, help="A path below the landing folder; again for more. Else all.")
def retry(where: Where, bronze: TableName, files: tuple[str, ...]) -> Answer:
    """Have files that were set aside taken again.

    For files that are sound now: mended in their place, readable again, or fit for the table as it is declared now.
    Each is renamed, `a.csv` to `a.retry-1.csv`, and the stream takes it as one that landed; it may run meanwhile. One
    that still cannot be taken is set aside again.
    """
    from kappa_assets.sources.known_sources import take_again

    table, _ = _set_aside(where, bronze)
    done = take_again(table.source, where.lake(), bronze, where.landing(), files)
    rows = [{"file": file, "retried_as": name} for file, name in done.items()]
    return Answer(rows, title="the stream takes these next" if rows else f"no file set aside from {bronze} lies there")


def _set_aside(where: Where, bronze: TableName) -> tuple[Bronze, SideTable]:
    from kappa_assets.declare.tables import Bronze
    from kappa_assets.sources.side_table import SideTable

    table = where.pipeline()[bronze]
    assert isinstance(table, Bronze)  # noqa: S101 -- for mypy; only a tape has a name in the layer Bronze
    return table, SideTable(where.lake(), bronze)
