"""`bronze`, `silver` and `gold`: how a pipeline declares its tables. No Spark, no Dagster, no I/O."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args, overload

from kappa_assets.declare.origin import Origin, origin_of_caller, origin_of_function
from kappa_assets.declare.source import Files, Source
from kappa_assets.declare.tables import (
    Bronze,
    Combine,
    Expectation,
    Gold,
    OnChange,
    Silver,
    TableFunction,
    parameters,
)
from kappa_assets.errors import DeclarationError
from kappa_assets.table import Layer, TableName, identifier

_EVERY = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def bronze(
    name: str,
    *,
    source: Source,
    description: str = "",
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> Bronze:
    """Declare a tape: every row `source` sends is kept for ever, as it came.

    Raises DeclarationError (InvalidName for the name), with the file and line of the call.
    """
    origin = origin_of_caller()
    if not isinstance(source, Files):
        raise DeclarationError(
            f"bronze({name!r}) needs a source; got {type(source).__name__}",
            origin=origin,
            hint="source=Files('folder', format='csv', header=True)",
        )
    return Bronze(
        name=_table_name(Layer.BRONZE, name, origin),
        origin=origin,
        description=description,
        owners=tuple(owners),
        tags=dict(tags or {}),
        source=source,
    )


@overload
def silver(function: TableFunction, /) -> Silver: ...
@overload
def silver(
    *,
    expect: Sequence[Expectation] = ...,
    reads: Mapping[str, str] | None = ...,
    version: str | None = ...,
    on_change: OnChange = ...,
    owners: Sequence[str] = ...,
    tags: Mapping[str, str] | None = ...,
) -> Callable[[TableFunction], Silver]: ...
def silver(
    function: TableFunction | None = None,
    /,
    *,
    expect: Sequence[Expectation] = (),
    reads: Mapping[str, str] | None = None,
    version: str | None = None,
    on_change: OnChange = "replay",
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> Silver | Callable[[TableFunction], Silver]:
    """Declare a row-by-row Silver table: the decorated function, applied to every batch of the tape.

    Args:
        expect: conditions on the output; rows that fail are counted and set aside.
        reads: upstream of a parameter, where its name is not the upstream's name.
        version: overrides the code version computed from the logic.
        on_change: what to do when the logic changes: hold the table until a `replay` is promoted, or go `forward`.

    Raises DeclarationError, with the file and line of the function.
    """

    def declare(declared: TableFunction) -> Silver:
        common = _common(Layer.SILVER, declared, reads, version, on_change, owners, tags)
        expectations = tuple(expect)
        names = [e.name for e in expectations]
        if len(set(names)) < len(names):
            raise DeclarationError(
                f"expectations of {common['name']} share a name: {names}",
                origin=common["origin"],
                hint="Give each its own; counts are kept by name.",
            )
        return Silver(**common, expectations=expectations)

    return declare if function is None else declare(function)


@overload
def gold(function: TableFunction, /) -> Gold: ...
@overload
def gold(
    *,
    keys: Sequence[str] = ...,
    combine: Mapping[str, Combine] | None = ...,
    every: str | None = ...,
    reads: Mapping[str, str] | None = ...,
    version: str | None = ...,
    on_change: OnChange = ...,
    owners: Sequence[str] = ...,
    tags: Mapping[str, str] | None = ...,
) -> Callable[[TableFunction], Gold]: ...
def gold(
    function: TableFunction | None = None,
    /,
    *,
    keys: Sequence[str] = (),
    combine: Mapping[str, Combine] | None = None,
    every: str | None = None,
    reads: Mapping[str, str] | None = None,
    version: str | None = None,
    on_change: OnChange = "replay",
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> Gold | Callable[[TableFunction], Gold]:
    """Declare a Gold table: an aggregate of a Silver.

    Args:
        keys: columns that identify a row. Without `combine`, the keys a batch touches are recomputed.
        combine: how each other column merges: `sum`, `count`, `min` or `max`. With it only new rows are aggregated.
        every: at most one recomputation in this time, such as "30 seconds" or "1 minute"; for a Gold without `combine`.
        reads, version, on_change: as for `silver`.

    Raises DeclarationError, with the file and line of the function.
    """

    def declare(declared: TableFunction) -> Gold:
        common = _common(Layer.GOLD, declared, reads, version, on_change, owners, tags)
        table, origin = common["name"], common["origin"]
        merged = dict(combine or {})
        _check_combine(table, origin, tuple(keys), merged, every)
        return Gold(**common, keys=tuple(keys), combine=merged, every=_seconds(every, table, origin))

    return declare if function is None else declare(function)


def _common(
    layer: Layer,
    function: TableFunction,
    reads: Mapping[str, str] | None,
    version: str | None,
    on_change: OnChange,
    owners: Sequence[str],
    tags: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Check what Silver and Gold share and return it as keyword arguments of their dataclasses."""
    origin = origin_of_function(function)
    name = _table_name(layer, getattr(function, "__name__", repr(function)), origin)
    upstream = {parameter: (reads or {}).get(parameter, parameter) for parameter in parameters(function)}
    stray = sorted(set(reads or {}) - set(upstream))
    if stray:
        raise DeclarationError(
            f"reads= of {name} names {stray[0]!r}, which is no parameter of it",
            origin=origin,
            hint=f"Its parameters are {', '.join(upstream) or 'none'}.",
        )
    if len(upstream) != 1:
        raise DeclarationError(
            f"{name} must read exactly one table; its function has {len(upstream)} parameters",
            origin=origin,
            hint="Name the parameter after the upstream: def sales(invoices): ...",
        )
    if on_change not in get_args(OnChange):
        raise DeclarationError(
            f"on_change of {name} must be 'replay' or 'forward'; got {on_change!r}", origin=origin
        )
    return {
        "name": name,
        "origin": origin,
        "description": inspect.getdoc(function) or "",
        "owners": tuple(owners),
        "tags": dict(tags or {}),
        "function": function,
        "reads": upstream,
        "version": version,
        "on_change": on_change,
    }


def _check_combine(
    table: TableName, origin: Origin, keys: tuple[str, ...], combine: Mapping[str, str], every: str | None
) -> None:
    unknown = {how for how in combine.values() if how not in get_args(Combine)}
    if unknown:
        raise DeclarationError(
            f"unknown combine {sorted(unknown)[0]!r} of {table}",
            origin=origin,
            hint=f"One of {', '.join(get_args(Combine))}; leave combine out to recompute the touched keys.",
        )
    if combine and not keys:
        raise DeclarationError(
            f"combine of {table} needs keys",
            origin=origin,
            hint="Say which columns identify a row: keys=['day', 'country'].",
        )
    if combine and every is not None:
        raise DeclarationError(
            f"every= and combine= of {table} contradict: a merged Gold follows each batch",
            origin=origin,
            hint="Leave every out, or combine out.",
        )
    if len(set(keys)) < len(keys) or set(keys) & set(combine):
        raise DeclarationError(
            f"columns of {table} are named twice: keys={list(keys)}, combine={list(combine)}", origin=origin
        )


def _seconds(every: str | None, table: TableName, origin: Origin) -> float | None:
    if every is None:
        return None
    match = _EVERY.fullmatch(every.strip())
    if match is None:
        raise DeclarationError(
            f"every of {table} is no time span: {every!r}",
            origin=origin,
            hint="Write '30 seconds', '1 minute' or '2 hours'.",
        )
    return float(match[1]) * _SECONDS[match[2]]


def _table_name(layer: Layer, name: str, origin: Origin) -> TableName:
    return TableName(layer, identifier(name, what=f"{layer} table name", origin=origin))


def expect(name: str, condition: str, *, on_fail: str = "drop") -> Expectation:
    """Declare a condition on a Silver's output columns, in SQL; rows that fail it are dropped and counted.

    Raises DeclarationError for an unknown `on_fail`.
    """
    origin = origin_of_caller()
    identifier(name, what="expectation", origin=origin)
    if on_fail != "drop":
        raise DeclarationError(
            f"on_fail of expectation {name!r} must be 'drop'; got {on_fail!r}", origin=origin
        )
    return Expectation(name, condition, cast("Any", on_fail))
