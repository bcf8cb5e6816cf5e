"""Refusing what is declared wrongly, with the file and line, what was got and what to write instead."""

from __future__ import annotations

import datetime as dt
import inspect
import re
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import TypeVar, get_args

from kappa_assets.declare.options.spans import seconds_in
from kappa_assets.declare.origin import Origin, origin_of_function
from kappa_assets.declare.tables import Combine, OnChange, Table, TableFunction
from kappa_assets.errors import DeclarationError, InvalidName
from kappa_assets.names import Layer, TableName, identifier

_T = TypeVar("_T")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_EVERY = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour)s?")
_KEEP = re.compile(r"(\d{1,5}(?:\.\d+)?)\s*(hour|day)s?")
_SHORTEST_KEEP = dt.timedelta(hours=1)
_SHOWN = 60  # characters of a wrong value worth repeating
_READ_BY_NAME = "Name the parameter after the upstream: def sales(invoices): ..."


def check_function(layer: Layer, function: object, caller: Origin) -> Origin:
    """Return where `function` is defined. Raises DeclarationError unless it is a plain function."""
    if isinstance(function, Table):
        raise DeclarationError(
            f"@{layer} decorates {function.name}, which is a table already",
            origin=caller,
            hint="One function is one table: decorate it once.",
        )
    if not isinstance(function, FunctionType):
        raise DeclarationError(
            f"@{layer} decorates a function; got {described(function)}",
            origin=caller,
            hint=f"Write @{layer} above a def; options are given by name, as in @{layer}(version='1').",
        )
    origin = origin_of_function(function)
    if function.__name__ == "<lambda>":
        raise DeclarationError(
            f"@{layer} takes the table's name from its function; got a lambda, which has none",
            origin=origin,
            hint="Use def.",
        )
    kinds = {"a coroutine": inspect.iscoroutinefunction, "a generator": inspect.isgeneratorfunction}
    for kind, holds in {**kinds, "an asynchronous generator": inspect.isasyncgenfunction}.items():
        if holds(function):
            raise DeclarationError(
                f"{layer} {function.__name__!r} must return a DataFrame; got {kind}",
                origin=origin,
                hint="Use a plain def that returns one DataFrame.",
            )
    return origin


def check_reads(
    name: TableName, function: TableFunction, reads: Mapping[str, str] | None, origin: Origin
) -> dict[str, str]:
    """Return the upstream of each parameter, in order. Raises DeclarationError unless all are given by position."""
    given = check_mapping(f"reads of {name}", reads, origin, "{'invoices': 'bronze.invoices'}")
    found = inspect.signature(function).parameters
    for parameter in found.values():
        written = str(parameter).partition(":")[0].partition("=")[0].strip()
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            got = f"{written!r}" if starred else f"keyword-only {written!r}"
            raise DeclarationError(
                f"{name} takes its upstream by position; got {got}", origin=origin, hint=_READ_BY_NAME
            )
        if parameter.default is not parameter.empty:
            raise DeclarationError(
                f"parameter {written!r} of {name} has a default; each parameter is an upstream table",
                origin=origin,
                hint="Put settings in constants of the module: they count in the code version.",
            )
    stray = sorted(set(given) - set(found))
    if stray:
        raise DeclarationError(
            f"reads= of {name} names {stray[0]!r}, which is no parameter of it",
            origin=origin,
            hint=f"Its parameters are {', '.join(found) or 'none'}.",
        )
    if not found:
        raise DeclarationError(
            f"{name} must read a table; its function has no parameters", origin=origin, hint=_READ_BY_NAME
        )
    return {parameter: _upstream(name, given.get(parameter, parameter), origin) for parameter in found}


def check_keys(table: TableName, keys: object, origin: Origin) -> tuple[str, ...]:
    """Return the key columns. Raises DeclarationError."""
    columns = check_list(f"keys of {table}", keys, origin, str, "['day', 'country']")
    for column in columns:
        check_column(f"keys of {table}", column, origin)
    return columns


def check_by(table: TableName, origin: Origin, keys: tuple[str, ...], by: object, *, combined: bool) -> tuple[str, ...]:
    """Return the columns that name a group. Raises DeclarationError unless each is one of the keys, once."""
    example = f"{[*keys[:1]] or ['customer']}"
    columns = check_list(f"by of {table}", by, origin, str, example)
    for column in columns:
        check_column(f"by of {table}", column, origin)
        if column not in keys:
            raise DeclarationError(
                f"by of {table} names {column!r}, which is none of its keys: {list(keys)}",
                origin=origin,
                hint="A row belongs to one group, and its keys say to which: add the column to keys, or leave it out.",
            )
    if len(set(columns)) < len(columns):
        raise DeclarationError(
            f"by of {table} names a column twice: {list(columns)}", origin=origin, hint="Name each once."
        )
    if columns and combined:
        raise DeclarationError(
            f"by= and combine= of {table} contradict: batches are merged by the keys",
            origin=origin,
            hint="Leave by out, or combine out: then the groups that a batch touches are recomputed.",
        )
    return columns


def check_combine(
    table: TableName, origin: Origin, keys: tuple[str, ...], combine: object, every: object
) -> dict[str, Combine]:
    """Return how columns merge. Raises DeclarationError when it contradicts the other options."""
    given = check_mapping(f"combine of {table}", combine, origin, "{'revenue': 'sum'}")
    merged: dict[str, Combine] = {}
    for column, how in given.items():
        check_column(f"combine of {table}", column, origin)
        known = [one for one in get_args(Combine) if one == how]
        if not known:
            raise DeclarationError(
                f"unknown combine {how!r} of column {column!r} of {table}",
                origin=origin,
                hint=f"One of {', '.join(get_args(Combine))}; without it the touched groups are recomputed.",
            )
        merged[column] = known[0]
    if merged and not keys:
        raise DeclarationError(
            f"combine of {table} needs keys",
            origin=origin,
            hint="Say which columns identify a row: keys=['day', 'country'].",
        )
    if merged and every is not None:
        raise DeclarationError(
            f"every= and combine= of {table} contradict: a merged Gold follows each batch",
            origin=origin,
            hint="Leave every out, or combine out.",
        )
    lower = [column.lower() for column in (*keys, *merged)]
    if len(set(lower)) < len(lower):
        raise DeclarationError(
            f"columns of {table} are named twice: keys={list(keys)}, combine={list(merged)}",
            origin=origin,
            hint="A column is a key or is combined, once; Spark does not tell upper from lower case.",
        )
    return merged


def check_every(table: TableName, every: object, origin: Origin) -> float | None:
    """Return the time span in seconds. Raises DeclarationError."""
    if every is None:
        return None
    seconds = seconds_in(every, _EVERY)
    if seconds <= 0:
        raise DeclarationError(
            f"every of {table} is no time span above zero: {every!r}",
            origin=origin,
            hint="Write '30 seconds', '1 minute' or '2 hours'.",
        )
    return seconds


def check_keep(table: TableName, keep: object, origin: Origin) -> dt.timedelta | None:
    """Return how long files stay that the table does not need any more. Raises DeclarationError."""
    if keep is None:
        return None
    span = dt.timedelta(seconds=seconds_in(keep, _KEEP))
    if span < _SHORTEST_KEEP:
        raise DeclarationError(
            f"keep of {table} is no time span of an hour or more: {keep!r}",
            origin=origin,
            hint="Write '6 hours' or '3 days'; whoever opened the table just now still reads what it replaces.",
        )
    return span


def check_on_change(table: TableName, on_change: OnChange, origin: Origin) -> OnChange:
    """Return `on_change`. Raises DeclarationError."""
    if on_change not in get_args(OnChange):
        raise DeclarationError(
            f"on_change of {table} must be 'replay' or 'forward'; got {on_change!r}",
            origin=origin,
            hint="'replay' holds the table until a replay is promoted; 'forward' goes on with the new logic.",
        )
    return on_change


def check_version(table: TableName, version: object, origin: Origin) -> str | None:
    """Return `version`, which stands in metadata and tags. Raises DeclarationError."""
    if version is None or (isinstance(version, str) and _VERSION.fullmatch(version)):
        return version
    raise DeclarationError(
        f"version of {table} is no short text: {version!r}",
        origin=origin,
        hint="Up to 63 letters, digits, dots, dashes or underscores, such as '2'; or leave it out.",
    )


def check_list(what: str, given: object, origin: Origin, kind: type[_T], example: str) -> tuple[_T, ...]:
    """Return a list's items as a tuple. Raises DeclarationError: a bare string is no list of strings."""
    got = described(given)
    if isinstance(given, Sequence) and not isinstance(given, str):
        right = tuple(item for item in given if isinstance(item, kind))
        if len(right) == len(given):
            return right
        got = f"{described(next(item for item in given if not isinstance(item, kind)))} in it"
    raise DeclarationError(
        f"{what} must be a list of {kind.__name__}; got {got}", origin=origin, hint=f"Write {example}."
    )


def check_mapping(what: str, given: object, origin: Origin, example: str) -> dict[str, str]:
    """Return a dict from text to text, empty for None. Raises DeclarationError."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        wrong = next((part for pair in given.items() for part in pair if not isinstance(part, str)), None)
        if wrong is None:
            return dict(given)
        got = f"{described(wrong)} in it"
    else:
        got = described(given)
    raise DeclarationError(
        f"{what} must be a dict from text to text; got {got}", origin=origin, hint=f"Write {example}."
    )


def _upstream(table: TableName, upstream: str, origin: Origin) -> str:
    try:
        return str(TableName.parse(upstream)) if "." in upstream else identifier(upstream, what="upstream")
    except InvalidName as error:
        raise InvalidName(f"{table} reads {upstream!r}: {error.what}", origin=origin, hint=error.hint) from error


def check_column(what: str, column: str, origin: Origin) -> None:
    """Refuse what is no plain name of a column."""
    if not _COLUMN.fullmatch(column):
        raise DeclarationError(
            f"{what} name column {column!r}",
            origin=origin,
            hint="A column's name is letters, digits and underscores; alias() renames it in the function.",
        )


def check_named_once(what: str, columns: Sequence[str], origin: Origin) -> None:
    """Refuse columns of which one comes twice. `what` says which they are, and that they name: `keys of gold.t name`.

    Raises DeclarationError.
    """
    if len({column.lower() for column in columns}) < len(columns):
        raise DeclarationError(
            f"{what} a column twice: {list(columns)}",
            origin=origin,
            hint="Name each once; Spark does not tell upper from lower case.",
        )


def check_made(what: str, given: object, kind: type[_T], example: str, origin: Origin) -> _T:
    """Return an option that is to be what a function of ours gives, such as `late()`. Raises DeclarationError."""
    if not isinstance(given, kind):
        name = what.partition(" ")[0]
        raise DeclarationError(
            f"{what} must be what {name}() gives; got {described(given)}",
            origin=origin,
            hint=f"Write {name}={example}.",
        )
    return given


def described(value: object) -> str:
    """Return what was got instead, as people read it."""
    if isinstance(value, Table):
        return f"the table {value.name}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= _SHOWN else type(value).__name__
