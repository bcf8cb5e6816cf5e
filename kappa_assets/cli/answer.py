"""An answer of a command: rows, given as JSON for programs or as a table for people."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from kappa_assets.log.note import Position

_WIDE = 1_000
"""Columns of a table that goes to a file or a pipe: nothing is folded there."""


@dataclass(frozen=True)
class Answer:
    """What a command found: `rows` is all of it, the rest is how people see it.

    `columns` are the fields shown as columns (none: all). `plain`, where given, is shown instead of a table.
    `parts`, where given, are shown instead: several tables. `remark` goes to standard error. With `failure` the command
    fails after it has answered.
    """

    rows: Sequence[Mapping[str, object]]
    columns: Sequence[str] = ()
    title: str | None = None
    plain: str | None = None
    remark: str | None = None
    failure: str | None = None
    parts: Sequence[Answer] = ()

    def give(self, *, as_json: bool) -> None:
        """Write the answer to standard output."""
        if as_json:
            click.echo(to_json(self.rows))
        elif self.plain is not None:
            click.echo(self.plain)
        elif self.parts:
            for part in self.parts:
                part.give(as_json=False)
        else:
            self._print_table()
        if self.remark is not None and not as_json:
            click.echo(self.remark, err=True)

    def _print_table(self) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        names = list(self.columns) or list(dict.fromkeys(name for row in self.rows for name in row))
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in names:
            numeric = any(isinstance(row.get(name), int | float | decimal.Decimal) for row in self.rows)
            table.add_column(name.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*[Text(to_text(row.get(name))) for name in names])
        terminal = sys.stdout.isatty()
        console = Console(file=sys.stdout, force_terminal=terminal, width=None if terminal else _WIDE)
        if self.title is not None:
            console.print(Text(self.title), soft_wrap=True)
        console.print(table if self.rows else "(none)")


def to_json(rows: Sequence[Mapping[str, object]]) -> str:
    """Return one JSON array, a row on each line: decimals as text, dates and times in ISO 8601."""
    lines = ",\n".join(json.dumps(plain(row), allow_nan=False) for row in rows)
    return f"[\n{lines}\n]" if lines else "[]"


def plain(value: Any) -> Any:
    """Return `value` as what JSON knows: decimals and what it has no number for as text, bytes as base64."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case decimal.Decimal():
            return format(value, "f")
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    return plain(asdict(value)) if isinstance(value, Position) else str(value)


def to_text(value: Any) -> str:
    """Return `value` as people read it in a cell: mappings on one line, times without fractions of a second."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dt.datetime():
            return value.isoformat(sep=" ", timespec="seconds")[:19]  # strftime leaves out zeros of early years
        case Mapping():
            return ", ".join(f"{key}: {to_text(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(to_text(item) for item in value)
    return str(value) if isinstance(value, Position) else str(plain(value))
