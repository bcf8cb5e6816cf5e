"""The command line, `kappa`: for people on a terminal, and with `--json` for programs. It needs no Dagster."""

from __future__ import annotations

import click

from kappa_assets.cli.check import check, explain
from kappa_assets.cli.group import Commands, common_options
from kappa_assets.cli.look import path, releases, schema, show, status, tables, tape
from kappa_assets.cli.play import drain, feed, stream
from kappa_assets.cli.rejects import deliveries, quarantine, rejects, release
from kappa_assets.cli.repair import accept_loss, repair
from kappa_assets.cli.rewind import compare, discard, promote, replay, rollback
from kappa_assets.cli.upkeep import maintain


@click.group(
    cls=Commands,
    sections={
        "Look": (tables, explain, status, tape, show, schema, path, deliveries, rejects, quarantine, releases),
        "Play": (check, stream, drain, feed, accept_loss),
        "Rewind": (repair, release, replay, compare, promote, discard, rollback),
        "Keep": (maintain,),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@common_options
def main(**_: object) -> None:
    r"""Play, watch and rewind a Kappa lake: one log, one logic, replayed at will.

    \b
    export KAPPA_LAKE=lake KAPPA_PIPELINE=shop.py    where the tables live, and what declares them
    kappa drain --landing landing                    put on the tape what landed, and update all tables
    kappa status                                     see how far every table is
    kappa replay --tables silver.sales               rebuild a table and all below it from the tape

    --lake, --pipeline, --landing and --json are taken before a command's name and after it. With --json, standard
    output holds one JSON array of row objects and nothing else.

    Exit codes: 0 done; 1 failed, with the reason on standard error; 2 wrong usage.
    """


__all__ = ["main"]
