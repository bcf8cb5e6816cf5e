"""What the logic of a table is, as a short hash.

Taken once for each table, when its pipeline is made, and kept: a process whose files are edited under it goes
on reporting the logic it loaded. What counts:

- the syntax of the table's function, without comments, docstrings, formatting and annotations;
- the functions, classes and constants of the pipeline that it reaches, through helpers and modules too.
  Constants of plain data (numbers, text, dates; lists, tuples, dicts and sets of them) count by value, dicts
  and sets in no order; the rest by the statements that make them;
- values held in closures and defaults;
- the options that change the result: upstreams, expectations, lateness, uniqueness, keys, groups, cdc, combine; of a
  Bronze, its source.

The pipeline's code is what lies in the top-level package of the function, or beside it. Installed packages,
the standard library and kappa_assets itself count by the names that are taken from them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json

from kappa_assets.declare.source import DeclaredSource
from kappa_assets.declare.tables import Bronze, Derived, Gold, Late, Silver, Table
from kappa_assets.fingerprint.closure import Closure
from kappa_assets.fingerprint.syntax import Json

DIGITS = 12


def code_version(table: Table) -> str:
    """Return the version of the table's logic: its `version=`, or 12 hexadecimal digits.

    Raises DeclarationError when the source cannot be read, or a value the function holds cannot be compared.
    """
    if isinstance(table, Derived) and table.version is not None:
        return table.version
    return _computed(table)


@functools.cache
def _computed(table: Table) -> str:
    logic: dict[str, Json] = {"layer": table.name.layer.value, "options": _options(table)}
    if isinstance(table, Derived):
        logic["pieces"] = Closure(table).pieces
    text = json.dumps(logic, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _options(table: Table) -> Json:
    """Return the declared options that change the result. A table's layer says the layer of its upstream."""
    match table:
        case Silver():
            # The others change no row that the table holds: it goes on as it is when they come, change or go.
            judges = [e for e in table.expectations if e.on_fail in ("drop", "quarantine")]
            rules: list[Json] = [[e.name, e.condition, e.on_fail] for e in judges]
            keys: dict[str, Json] = {"keys": [*sorted(table.keys)]} if table.keys else {}
            expect: dict[str, Json] = {"expect": sorted(rules, key=str), **_late(table.late), **_unique(table)}
            return {"reads": _upstreams(table), **expect, **keys, **_groups_of(table), **_changes_of(table)}
        case Gold():
            combine: dict[str, Json] = {**table.combine}
            # An option that is left out changes no row: a Gold keeps its version when there come to be more options.
            by: dict[str, Json] = {"by": [*sorted(table.by)]} if table.by else {}
            options: dict[str, Json] = {"keys": [*sorted(table.keys)], "combine": combine}
            return {"reads": _upstreams(table), **options, **by, **_groups_of(table)}
        case Bronze():
            told = [_source_options(source) for source in sorted(table.sources, key=lambda one: one.label)]
            return told if table.others else told[0]
    return None


def _late(late: Late | None) -> dict[str, Json]:
    """Return what of late rows is not in the table; nothing where all are."""
    if late is None:
        return {}
    bounds = {"late": (late.after, late.policy), "ahead": (late.ahead, late.ahead_policy)}
    return {
        name: [late.event_time, repr(bound), policy]
        for name, (bound, policy) in bounds.items()
        if bound is not None and policy != "update"
    }


def _unique(table: Silver) -> dict[str, Json]:
    """Return by which columns rows are one, in any order, and within how many days."""
    return {"unique": [[*sorted(table.unique)], table.unique_within]} if table.unique else {}


def _source_options(source: DeclaredSource) -> Json:
    """Return what a source is, and those of its options that change a row.

    One that is left out changes none: a Bronze keeps its version when there come to be more options.
    """
    told = [f for f in dataclasses.fields(source) if f.name not in source.changes_no_row]
    said = {f.name: repr(getattr(source, f.name)) for f in told}
    fields: dict[str, Json] = {
        f.name: said[f.name] for f in told if f.name in source.always_told or said[f.name] != repr(f.default)
    }
    return [type(source).__name__, fields]


def _upstreams(table: Derived) -> list[Json]:
    """Return the upstreams in the order in which the function takes them."""
    return [upstream.rpartition(".")[2] for upstream in table.reads.values()]


def _changes_of(table: Silver) -> dict[str, Json]:
    """Return how changes are merged: the sequence counts in its order, keys and tracked columns in none."""
    if table.cdc is None:
        return {}
    told = {f.name: getattr(table.cdc, f.name) for f in dataclasses.fields(table.cdc) if f.name != "max_deleted"}
    told |= {"keys": sorted(table.cdc.keys), "track": sorted(table.cdc.track)}
    told["forget_deletes"] = repr(table.cdc.forget_deletes) if table.cdc.forget_deletes else None
    fields: dict[str, Json] = {name: one for name, one in told.items() if one not in (None, (), [], False)}
    return {"cdc": json.loads(json.dumps(fields))}


def _groups_of(table: Derived) -> dict[str, Json]:
    """Return the columns that name a group, of each upstream: which goes with which counts, and not their order."""
    if not table.groups_of:
        return {}
    together = sorted(zip(*table.groups_of.values(), strict=True))
    return {"groups": [[*columns] for columns in together]}
