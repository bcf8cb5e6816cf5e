"""The group of all commands: help by topic, and what becomes of errors."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from kappa_assets.errors import KappaError

COMMON = ("lake_path", "pipeline_name", "landing_path", "json")
"""What the options are called that are taken before and after every command's name."""


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where things are and how the answer is given."""
    folder = click.Path(path_type=Path, file_okay=False)
    for option in (
        click.option("--json", "json", is_flag=True, help="Print one JSON array of row objects, for programs."),
        click.option(
            "--landing",
            "landing_path",
            type=folder,
            envvar="KAPPA_LANDING",
            show_envvar=True,
            help="The folder files land in.",
        ),
        click.option(
            "--pipeline",
            "pipeline_name",
            envvar="KAPPA_PIPELINE",
            show_envvar=True,
            metavar="MODULE",
            help="The module, or .py file, that declares the tables.",
        ),
        click.option(
            "--lake",
            "lake_path",
            type=folder,
            envvar="KAPPA_LAKE",
            show_envvar=True,
            help="The folder the tables live in.",
        ),
    ):
        function = option(function)
    return function


class Failed(click.ClickException):
    """The command did its work, and the answer is a failure: exit code 1, the reason on standard error."""


class Commands(click.Group):
    """A group that lists its commands by topic and turns errors into a message and exit code 1."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[click.Command]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        for commands in sections.values():
            for command in commands:
                self.add_command(command)

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Run a command line. That of the process itself (no `args`) ends the process, too."""
        if args is not None:
            return super().main(args, *others, **options)
        try:
            super().main(None, *others, **options)
        except SystemExit as ended:
            _end_process(ended.code)
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. An error of ours ends it with its message; another one shows where it came from."""
        try:
            return super().invoke(ctx)
        except KappaError as error:
            raise Failed(str(error)) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            click.echo(traceback.format_exc(), err=True)
            raise Failed(f"{type(error).__name__}: {error}") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's
        """Write the commands by what they are for, not by their names."""
        width = max(len(c.name or "") for commands in self._sections.values() for c in commands)
        for title, commands in self._sections.items():
            with formatter.section(title):
                rows = [((c.name or "").ljust(width), c.get_short_help_str(limit=80)) for c in commands]
                formatter.write_dl(rows)


def _end_process(code: str | int | None) -> None:
    """End the process without taking the interpreter apart: threads of delta-rs and pyarrow may still use it.

    Measured: 6 of 30 times `kappa show` aborted at its exit ("terminate called without an active exception"). A JVM
    that was started ends by itself when its standard input closes.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
