"""Refusing what is declared wrongly of tables with several upstreams, and of those that name groups of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kappa_assets.declare.origin import Origin
from kappa_assets.declare.refusals import check_by, check_column, check_list, check_named_once, described
from kappa_assets.errors import DeclarationError
from kappa_assets.names import TableName

By = Sequence[str] | Mapping[str, str | Sequence[str]]
"""Columns that name a group: of the one upstream, or of each by the parameter that reads it."""
GroupsOf = dict[str, tuple[str, ...]]


def check_distinct_reads(table: TableName, reads: Mapping[str, str], origin: Origin) -> None:
    """Refuse two parameters that read one table."""
    first: dict[str, str] = {}
    for parameter, upstream in reads.items():
        other = first.setdefault(upstream, parameter)
        if other != parameter:
            raise DeclarationError(
                f"{table} reads {upstream} twice, as {other!r} and as {parameter!r}",
                origin=origin,
                hint="One parameter is enough: a DataFrame can be joined with itself.",
            )


def check_gold_groups(
    table: TableName, origin: Origin, keys: tuple[str, ...], by: object, reads: Mapping[str, str], *, combined: bool
) -> tuple[tuple[str, ...], GroupsOf]:
    """Return `by` of a Gold as those of its keys, where it has one upstream, and of each upstream, where several.

    Raises DeclarationError.
    """
    if len(reads) > 1 and combined:
        raise DeclarationError(
            f"combine of {table} contradicts its {len(reads)} upstreams: a row of one is added to no row of another",
            origin=origin,
            hint="Join them in a Silver with keys and by, and declare this Gold over it; or leave combine out.",
        )
    if len(reads) == 1:
        own = next(iter(_of_each(table, origin, by, reads).values())) if isinstance(by, Mapping) else by
        return check_by(table, origin, keys, own, combined=combined), {}
    groups = _of_each(table, origin, by, reads) if by else {}
    if groups and not keys:
        raise DeclarationError(
            f"by of {table} needs keys, which tell the rows of a group apart",
            origin=origin,
            hint="Add keys=[...] with the columns of by in it; or leave by out: then it is recomputed whole.",
        )
    if keys and not groups:
        raise DeclarationError(
            f"{table} has keys and {len(reads)} upstreams, and does not say which columns of each name a group",
            origin=origin,
            hint=f"Add by={_example(reads)}; or leave keys out: then it is recomputed whole.",
        )
    return (), groups


def check_silver_groups(
    table: TableName,
    origin: Origin,
    keys: tuple[str, ...],
    by: object,
    reads: Mapping[str, str],
) -> GroupsOf:
    """Return `by` of a Silver, of each upstream; none where it is row by row. Raises DeclarationError."""
    if len(reads) > 1 and not (keys and by):
        lacks = " and ".join([*([] if keys else ["keys"]), *([] if by else ["by"])])
        raise DeclarationError(
            f"{table} has {len(reads)} upstreams, and no {lacks}: a row alone does not say what to join it with",
            origin=origin,
            hint=f"Say @silver(keys=[...], by={_example(reads)}): rows of one group are recomputed together.",
        )
    if keys and not by:
        raise DeclarationError(
            f"{table} has keys, and does not say which rows are recomputed together",
            origin=origin,
            hint=f"Add by={_example(reads)}; or leave keys out: then it is row by row.",
        )
    if by and not keys:
        raise DeclarationError(
            f"by of {table} needs keys, which tell the rows of a group apart",
            origin=origin,
            hint="Add keys=[...]; or leave by out: then it is row by row.",
        )
    check_named_once(f"keys of {table} name", keys, origin)
    return _of_each(table, origin, by, reads) if keys else {}


def check_silver_every(table: TableName, every: float | None, keys: tuple[str, ...], origin: Origin) -> float | None:
    """Return `every` of a Silver. Raises DeclarationError for one that is row by row."""
    if every is not None and not keys:
        raise DeclarationError(
            f"{table} has every, and no keys: what is row by row follows each batch",
            origin=origin,
            hint="Leave every out.",
        )
    return every


def _of_each(table: TableName, origin: Origin, by: object, reads: Mapping[str, str]) -> GroupsOf:
    """Return the columns that name a group in each upstream, in the order of the parameters."""
    if not isinstance(by, Mapping):
        if len(reads) > 1:
            raise DeclarationError(
                f"by of {table} must say for each upstream which columns name a group; got {described(by)}",
                origin=origin,
                hint=f"Write by={_example(reads)}.",
            )
        by = dict.fromkeys(reads, check_list(f"by of {table}", by, origin, str, "['customer_id']"))
    named: Mapping[Any, object] = by
    for parameter in named:
        if parameter not in reads:
            raise DeclarationError(
                f"by of {table} names {parameter!r}, which is no parameter of it",
                origin=origin,
                hint=f"Its parameters are {', '.join(reads)}.",
            )
    groups = {parameter: _columns(table, origin, parameter, named, reads) for parameter in reads}
    (first, columns), *others = groups.items()
    for parameter, found in others:
        if len(found) != len(columns):
            raise DeclarationError(
                f"by of {table} names {len(columns)} columns of {first!r} and {len(found)} of {parameter!r}",
                origin=origin,
                hint="Name as many of each, in one order: a group is the rows that agree in the first, the second, ...",
            )
    return groups


def _columns(
    table: TableName, origin: Origin, parameter: str, by: Mapping[Any, object], reads: Mapping[str, str]
) -> tuple[str, ...]:
    if parameter not in by:
        raise DeclarationError(
            f"by of {table} leaves out its parameter {parameter!r}",
            origin=origin,
            hint="Say for each upstream which of its columns name a group; or leave keys and by out in a Gold.",
        )
    given = by[parameter]
    columns = (given,) if isinstance(given, str) else given
    right = isinstance(columns, Sequence) and columns and all(isinstance(one, str) for one in columns)
    if not right or not isinstance(columns, Sequence):
        raise DeclarationError(
            f"by of {table} must name a column of {parameter!r}, or a list of some; got {described(given)}",
            origin=origin,
            hint=f"Write by={_example(reads)}.",
        )
    for column in columns:
        check_column(f"by of {table}", column, origin)
    check_named_once(f"by of {table}, of {parameter!r}, name", columns, origin)
    return tuple(columns)


def _example(reads: Mapping[str, str]) -> str:
    return str(dict.fromkeys(reads, "customer_id"))
