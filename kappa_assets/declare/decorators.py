"""`bronze`, `silver` and `gold`: how a pipeline declares its tables. No Spark, no Dagster, no I/O."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, overload

from kappa_assets.declare import joins, refusals
from kappa_assets.declare.joins import By
from kappa_assets.declare.options.cdc import Cdc, check_cdc
from kappa_assets.declare.options.column_texts import described_columns
from kappa_assets.declare.options.expectations import check_expectations
from kappa_assets.declare.options.kept_inputs import check_kept_inputs
from kappa_assets.declare.options.lateness import check_late
from kappa_assets.declare.options.uniqueness import check_unique
from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.declare.source import DeclaredSource
from kappa_assets.declare.tables import (
    Bronze,
    Combine,
    Expectation,
    Gold,
    Late,
    OnChange,
    Silver,
    TableFunction,
)
from kappa_assets.errors import DeclarationError
from kappa_assets.names import Layer, TableName, identifier

_OWNERS = "['team:shop']"
_TAGS = "{'domain': 'retail'}"
_COLUMNS = "{'amount': 'pounds sterling'}"


def bronze(
    name: str,
    *,
    source: DeclaredSource | None = None,
    sources: Sequence[DeclaredSource] = (),
    description: str = "",
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Bronze:
    """Declare a tape: every row that its source sends is kept for ever, as it came.

    `sources`, instead of `source`: several, such as an archive and what comes now, for one tape in one order. Each has
    a checkpoint of its own; one may be added to a tape that runs, or left out from then on. `_source.name` says which.

    `columns`: what people are told of a column, by its name, beside what lists in `description` say of them.

    Raises DeclarationError (InvalidName for the name), with the file and line of the call.
    """
    origin = origin_of_caller()
    first, *others = _sources(name, source, sources, origin)
    table = _table_name(Layer.BRONZE, name, origin)
    text = inspect.cleandoc(description)
    return Bronze(
        name=table,
        origin=origin,
        description=text,
        columns=_columns(table, text, columns, origin),
        owners=refusals.check_list(f"owners of {table}", owners, origin, str, _OWNERS),
        tags=refusals.check_mapping(f"tags of {table}", tags, origin, _TAGS),
        source=first,
        others=tuple(others),
    )


def _sources(
    name: str, source: DeclaredSource | None, sources: Sequence[DeclaredSource], origin: Origin
) -> list[DeclaredSource]:
    """Return the sources of a tape. Raises DeclarationError for none, for what is none, and for two that clash."""
    many = isinstance(sources, Sequence) and not isinstance(sources, str)
    given = [*sources] if many and source is None else [source]
    if (source is not None and sources) or not many:
        raise DeclarationError(
            f"bronze({name!r}) takes source= or sources=, a list; got {type(sources).__name__} for sources",
            origin=origin,
            hint="source=Files('orders'), or sources=[Files('archive'), Files('live')].",
        )
    found = [one for one in given if isinstance(one, DeclaredSource)]
    if not found or len(found) < len(given):
        wrong = next((one for one in given if not isinstance(one, DeclaredSource)), None)
        raise DeclarationError(
            f"bronze({name!r}) needs a source; got {'none' if wrong is None else type(wrong).__name__}",
            origin=origin,
            hint="source=Files('folder', format='csv', header=True)",
        )
    clash = next((why for a, b in combinations(found, 2) if (why := a.clash(b))), None)
    if clash is not None:
        hint = "Name each source once, with a folder of its own."
        raise DeclarationError(f"sources of bronze({name!r}): {clash}", origin=origin, hint=hint)
    return found


@overload
def silver(function: TableFunction, /) -> Silver: ...
@overload
def silver(
    *,
    expect: Sequence[Expectation] = ...,
    late: Late | None = ...,
    unique: Sequence[str] = ...,
    unique_within: str | None = ...,
    keys: Sequence[str] = ...,
    by: By = ...,
    cdc: Cdc | None = ...,
    every: str | None = ...,
    keep_inputs: bool = ...,
    reads: Mapping[str, str] | None = ...,
    version: str | None = ...,
    on_change: OnChange = ...,
    keep: str | None = ...,
    owners: Sequence[str] = ...,
    tags: Mapping[str, str] | None = ...,
    columns: Mapping[str, str] | None = ...,
) -> Callable[[TableFunction], Silver]: ...
def silver(  # noqa: PLR0913 - a declaration is a list of options, given by name
    function: TableFunction | None = None,
    /,
    *,
    expect: Sequence[Expectation] = (),
    late: Late | None = None,
    unique: Sequence[str] = (),
    unique_within: str | None = None,
    keys: Sequence[str] = (),
    by: By = (),
    cdc: Cdc | None = None,
    every: str | None = None,
    keep_inputs: bool = False,
    reads: Mapping[str, str] | None = None,
    version: str | None = None,
    on_change: OnChange = "replay",
    keep: str | None = None,
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Silver | Callable[[TableFunction], Silver]:
    """Declare a Silver table: the decorated function, applied to every batch of the tape, row by row.

    With `keys` and `by` it may join several tables, and look at several rows: all rows of the groups that a batch
    touches are read, of each upstream, and what the function gives of them replaces what the table holds of them.

    Args:
        expect: conditions on the output; rows that fail are counted and set aside. With keys, `warn` and `fail` alone.
        late: which rows come late, and what becomes of them: `late("sold_at", after="2 days", policy="quarantine")`.
        unique: columns by which rows are one, that were sent twice: the first on the tape stays, others are set aside.
        unique_within: how far apart in days of arrival they may be, such as "7 days"; left out, any number of them.
        keys: columns that tell the rows of a group apart.
        by: with keys, for each parameter the column of its upstream that names a group, or a list of columns, in one
            order: `{"sales": "customer_id", "customers": "id"}`. With one upstream, a list will do.
        cdc: the function gives changes of a source's rows, and the table holds what they lead to, as `cdc()` says.
        every: with keys, at most one recomputation in this time, such as "30 seconds".
        keep_inputs: with keys, whether it keeps what it reads beside itself, in the order of its groups: as for `gold`.
        reads: upstream of a parameter, where its name is not the upstream's name.
        version: overrides the code version computed from the logic.
        on_change: when the logic changes, hold the table until a `replay` is promoted, or go `forward`.
        keep: how long files stay that the table has replaced and no reader of the lake needs, such as "3 days"; left
            out, as long as upkeep's policy says.
        columns: what people are told of a column, by its name. Left out, what the lists of the docstring say of it.

    Raises DeclarationError, with the file and line of the function.
    """
    caller = origin_of_caller()

    def declare(declared: TableFunction) -> Silver:
        common = _common(Layer.SILVER, declared, caller, reads, version, on_change, (owners, tags, columns))
        table, origin = common["name"], common["origin"]
        told_apart = refusals.check_keys(table, keys, origin)
        expected = check_expectations(table, expect, origin, row_by_row=not told_apart)
        others = {"keys": keys, "by": by, "every": every, "unique": unique}
        changes = check_cdc(table, cdc, expected, [name for name, one in others.items() if one], origin)
        groups = joins.check_silver_groups(table, origin, told_apart, by, common["reads"])
        seconds = joins.check_silver_every(table, refusals.check_every(table, every, origin), told_apart, origin)
        options: dict[str, Any] = {"keys": told_apart, "groups_of": groups, "cdc": changes, "every": seconds}
        options["late"] = check_late(table, late, told_apart, expected, origin)
        once, within = check_unique(table, unique, unique_within, told_apart, expected, origin)
        options |= {"unique": once, "unique_within": within}
        options |= {"keep": refusals.check_keep(table, keep, origin), "keep_inputs": keep_inputs}
        return check_kept_inputs(Silver(**common, expectations=expected, **options), origin)

    return declare if function is None else declare(function)


@overload
def gold(function: TableFunction, /) -> Gold: ...
@overload
def gold(
    *,
    expect: Sequence[Expectation] = ...,
    keys: Sequence[str] = ...,
    by: By = ...,
    combine: Mapping[str, Combine] | None = ...,
    every: str | None = ...,
    keep_inputs: bool = ...,
    reads: Mapping[str, str] | None = ...,
    version: str | None = ...,
    on_change: OnChange = ...,
    keep: str | None = ...,
    owners: Sequence[str] = ...,
    tags: Mapping[str, str] | None = ...,
    columns: Mapping[str, str] | None = ...,
) -> Callable[[TableFunction], Gold]: ...
def gold(  # noqa: PLR0913 - a declaration is a list of options, given by name
    function: TableFunction | None = None,
    /,
    *,
    expect: Sequence[Expectation] = (),
    keys: Sequence[str] = (),
    by: By = (),
    combine: Mapping[str, Combine] | None = None,
    every: str | None = None,
    keep_inputs: bool = False,
    reads: Mapping[str, str] | None = None,
    version: str | None = None,
    on_change: OnChange = "replay",
    keep: str | None = None,
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Gold | Callable[[TableFunction], Gold]:
    """Declare a Gold table: an aggregate of one table or of several.

    Several upstreams need `keys` and `by`, or none of both: then it is recomputed whole.

    Args:
        keys: columns that identify a row. Without `combine`, the groups that a batch touches are recomputed.
        by: those of the keys that name a group: its rows are recomputed together, from all rows of the upstream that
            belong to it. Left out, the keys that the function takes from its upstream unchanged, or groups by first.
            With several upstreams, as for `silver`: for each parameter the columns of its upstream.
        expect: conditions on its rows, with on_fail="warn" or "fail".
        combine: how each other column merges: `sum`, `count`, `min` or `max`. Only new rows are aggregated.
        every: at most one recomputation in this time, such as "30 seconds"; for a Gold without `combine`.
        keep_inputs: whether it keeps the columns it reads beside itself, in the order of its groups, so that a batch
            of few groups reads in proportion to these; where groups are recomputed from large tables.
        keep: as for `silver`; left out, 6 hours: nothing streams from a Gold, which replaces files with each batch.
        reads, version, on_change, columns: as for `silver`.

    Raises DeclarationError, with the file and line of the function.
    """
    caller = origin_of_caller()

    def declare(declared: TableFunction) -> Gold:
        common = _common(Layer.GOLD, declared, caller, reads, version, on_change, (owners, tags, columns))
        table, origin = common["name"], common["origin"]
        told_apart = refusals.check_keys(table, keys, origin)
        merged = refusals.check_combine(table, origin, told_apart, combine, every)
        own, groups = joins.check_gold_groups(table, origin, told_apart, by, common["reads"], combined=bool(merged))
        seconds, kept = refusals.check_every(table, every, origin), refusals.check_keep(table, keep, origin)
        common |= {"keep": kept, "every": seconds, "expectations": check_expectations(table, expect, origin)}
        common |= {"keys": told_apart, "groups_of": groups, "keep_inputs": keep_inputs}
        return check_kept_inputs(Gold(**common, by=own, combine=merged), origin)

    return declare if function is None else declare(function)


def _common(
    layer: Layer,
    function: TableFunction,
    caller: Origin,
    reads: Mapping[str, str] | None,
    version: str | None,
    on_change: OnChange,
    shown: tuple[Sequence[str], Mapping[str, str] | None, Mapping[str, str] | None],
) -> dict[str, Any]:
    """Check what Silver and Gold share and return it as keyword arguments of their dataclasses.

    `shown`: owners, tags, and what is told of columns.
    """
    owners, tags, columns = shown
    origin = refusals.check_function(layer, function, caller)
    name = _table_name(layer, getattr(function, "__name__", ""), origin)
    upstreams = refusals.check_reads(name, function, reads, origin)
    joins.check_distinct_reads(name, upstreams, origin)
    text = inspect.getdoc(function) or ""
    return {
        "name": name,
        "origin": origin,
        "description": text,
        "columns": _columns(name, text, columns, origin),
        "owners": refusals.check_list(f"owners of {name}", owners, origin, str, _OWNERS),
        "tags": refusals.check_mapping(f"tags of {name}", tags, origin, _TAGS),
        "function": function,
        "reads": upstreams,
        "version": refusals.check_version(name, version, origin),
        "on_change": refusals.check_on_change(name, on_change, origin),
    }


def _columns(table: TableName, text: str, columns: Mapping[str, str] | None, origin: Origin) -> dict[str, str]:
    """Return what people are told of a table's columns; what the option says goes before what the text does."""
    return described_columns(text) | refusals.check_mapping(f"columns of {table}", columns, origin, _COLUMNS)


def _table_name(layer: Layer, name: str, origin: Origin) -> TableName:
    return TableName(layer, identifier(name, what=f"{layer} table name", origin=origin))
