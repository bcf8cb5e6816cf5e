"""Which rows of a table may be recomputed alone: whether its function keeps groups of rows apart, proved on its plan.

It does when its answer on all rows, cut down to one group, is its answer on the rows of that group. So whatever looks
at several rows, such as an aggregate, a window or a join, must hold all columns of `by`; whatever looks at each row by
itself is free. A Python function shows no plan: what it is applied by is held, and its answer is checked as it comes.

Of several upstreams, the columns of each that name a group are one and the same `Group` from the leaves up: so a join
of two is held together by `=` on them, and a union of two has them in one position.
"""

from __future__ import annotations

from typing import NamedTuple

from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.logic.analysed import Node
from kappa_assets.logic.order_shows import check_order
from kappa_assets.logic.plan_rules import SUBQUERIES
from kappa_assets.logic.row_expressions import follows_from, text_of, upstream_columns
from kappa_assets.logic.traced_plan import PASSED_ON, Traced, applied_by, equal_in, join_type
from kappa_assets.logic.verdict import Feed, Refusal, Verdict

WHOLE = "or leave keys out, and the table is recomputed whole"
_ROW_BY_ROW = PASSED_ON | {"Project", "Generate", "Expand"}
_GIVES_ITS_GROUPS = {"Aggregate", "Window", "Deduplicate", "Distinct"}
"""Operators that have a group in their output as soon as a row of it goes in."""
_ACROSS_ALL_ROWS = {
    "GlobalLimit": "limits the number of rows",
    "LocalLimit": "limits the number of rows",
    "Offset": "skips rows",
    "Tail": "limits the number of rows",
    "Sample": "samples rows",
    "MapInPandas": "hands batches of rows to a Python function",
    "MapInArrow": "hands batches of rows to a Python function",
}
_INSTEAD = {
    "GlobalLimit": "Number the rows of a group with row_number and filter by it",
    "LocalLimit": "Number the rows of a group with row_number and filter by it",
    "Sample": "Filter by a column",
    "MapInPandas": "Use groupBy(...).applyInPandas",
    "MapInArrow": "Use groupBy(...).applyInArrow",
}
_PAST = {
    "Aggregate": "groups by",
    "Window": "has a window over",
    "Deduplicate": "removes duplicates by",
    "Distinct": "removes duplicates by",
    "Intersect": "intersects by",
    "Except": "subtracts by",
    "Join": "joins on",
}


class _Ways(NamedTuple):
    """What else can be written, in words for a hint: `fewer` with a place for the groups that are held."""

    whole: str
    fewer: str
    join: str = "it hold"


_OF_ONE = _Ways(WHOLE, "Say by={}")
_OF_SEVERAL = _Ways(
    "or declare a Gold without keys and by: it is recomputed whole", "Let by name {} alone", "both sides be equal in"
)


def judge(table: Gold, top: Traced) -> Verdict:
    """Return the groups that a Gold's function keeps apart, or why it keeps none."""
    of = {str(one.fields["name"]): top.says.get(one.id) for one in top.node.expressions("projectList")}
    by = table.keys if table.combine else table.by or _told_by_the_plan(table, top, of)
    groups = [found for name in by if (found := of.get(name)) is not None]
    refusals = [*_no_columns(by, of, top)]
    if not by:
        refusals.append(_nothing_left(table, of))
    if not refusals:
        named = dict(zip(by, groups, strict=True))
        refusals = [refusal for at in top if (refusal := _check(at, named)) is not None]
    plain = all(group.kind == "Upstream" for group in groups)
    feeds: tuple[Feed, ...] = ()
    if not refusals and not plain:
        feeds, missing = _feeds(top, groups)
        refusals += missing
    keys = {one.id for one in top.node.expressions("projectList") if one.fields["name"] in table.keys}
    return Verdict(
        by=by,
        groups=tuple(map(text_of, groups)),
        columns=tuple(sorted({name for group in groups for name in upstream_columns(group)})),
        plain=tuple(str(group.fields["name"]) for group in groups) if plain else (),
        feeds=feeds,
        believed=top.believes,
        keys_are_unique=any(key <= keys for key in top.unique),
        refusals=tuple(refusals if table.combine else [*refusals, *check_order(top)]),
    )


def judge_joined(table: Silver | Gold, top: Traced, groups: tuple[Node, ...]) -> Verdict:
    """Return whether a function of several upstreams keeps apart the groups that its declaration names, or why not."""
    made = top.node.expressions("projectList")
    given = [[str(one.fields["name"]) for one in made if top.says.get(one.id) == group] for group in groups]
    in_keys = [[name for name in names if name in table.keys] for names in given]
    by = tuple((*keys, *names, "")[0] for keys, names in zip(in_keys, given, strict=True))
    refusals = [_not_given(text_of(group)) for group, names in zip(groups, given, strict=True) if not names]
    if isinstance(table, Gold):
        refusals += [_no_key(names[0]) for names, keys in zip(given, in_keys, strict=True) if names and not keys]
    if not refusals:
        named = dict(zip(by, groups, strict=True))
        refusals = [refusal for at in top if (refusal := _check(at, named, _OF_SEVERAL)) is not None]
    keys_and_by = {one.id for one in made if one.fields["name"] in (*table.keys, *by)}
    return Verdict(
        by=by,
        groups=tuple(map(text_of, groups)),
        columns=(),
        plain=(),
        feeds=(),
        believed=top.believes,
        keys_are_unique=any(key <= keys_and_by for key in top.unique),
        refusals=(*refusals, *check_order(top)),
        plain_of=tuple(table.groups_of.values()),
    )


def _not_given(group: str) -> Refusal:
    what = f"does not give {group!r}, which names its groups, in any column as it is"
    hint = "Select it unchanged: of an outer join, that of the side that stays, or coalesce(left, right) of a full one."
    return Refusal("Project", None, what, hint)


def _no_key(column: str) -> Refusal:
    hint = f"Add {column!r} to keys: a key then belongs to one group."
    return Refusal("Project", column, f"has {column!r}, which names its groups, beside its keys", hint)


def _told_by_the_plan(table: Gold, top: Traced, of: dict[str, Node | None]) -> tuple[str, ...]:
    """Return the keys that are columns of the upstream, or that the lowest aggregates group by."""
    lowest = [at for at in top if at.node.kind == "Aggregate" and at.reads and not _aggregates_below(at)]
    held = [_held(at) for at in lowest]
    found = {key: of[key] for key in table.keys if key in of}
    return tuple(
        key
        for key, one in found.items()
        if one is not None and (one.kind == "Upstream" or (held and all(follows_from(one, h) for h in held)))
    )


def _aggregates_below(at: Traced) -> bool:
    return any(one.node.kind == "Aggregate" for child in at.children for one in child)


def _no_columns(by: tuple[str, ...], of: dict[str, Node | None], top: Traced) -> list[Refusal]:
    """Refuse a column of `by` that is computed from several rows, or that is a map."""
    refusals = []
    sessions = any(one.fields.get("is_session") for at in top for one in at.node.expressions("projectList"))
    for name in by:
        if of.get(name) is None:
            why = (
                "a session window, say, grows with other rows" if sessions else "the plan does not pass it on unchanged"
            )
            what = f"names its groups by {name!r}, which is no column of its upstream: {why}"
            hint = f"by= takes columns of the upstream, or what is grouped by first: leave {name!r} out, {WHOLE}."
            refusals.append(Refusal("Project", name, what, hint))
    for one in top.node.expressions("projectList"):
        if one.fields["name"] in by and "'type': 'map'" in str(one.fields.get("dataType")):
            what = f"names its groups by {one.fields['name']!r}, which holds a map"
            refusals.append(Refusal("Project", str(one.fields["name"]), what, "Maps have no order: take its entries."))
    return refusals


def _nothing_left(table: Gold, of: dict[str, Node | None]) -> Refusal:
    keys = ", ".join(repr(key) for key in table.keys)
    computed = [key for key in table.keys if of.get(key) is not None]
    hint = f"Say by={computed}, {WHOLE}." if computed else f"Add a column of the upstream to keys, {WHOLE}."
    return Refusal("Project", None, f"has no key that names a group: {keys} are computed from rows", hint)


def _check(at: Traced, named: dict[str, Node], ways: _Ways = _OF_ONE) -> Refusal | None:
    """Return why an operator does not keep the groups apart; None where it does."""
    kind = at.node.kind
    subquery = next((one for one, _ in at.node.mentioned() if one in SUBQUERIES), None)
    if subquery is not None:
        hint = f"Join with what it reads, on {_listed(named)}, {ways.whole}."
        return Refusal(subquery, None, "reads rows in a subquery, which sees all groups", hint)
    if kind in _ROW_BY_ROW or not at.children or not at.reads:
        return None
    if kind in _ACROSS_ALL_ROWS:
        hint = f"{_INSTEAD.get(kind, 'Filter by a column')}, {ways.whole}."
        return Refusal(kind, None, f"{_ACROSS_ALL_ROWS[kind]}, whatever their group", hint)
    if any(not child.reads for child in at.children):
        return _check_constant_side(at, ways)
    if kind == "Union":
        return None  # what its sides do not have in one position is no group above it
    if kind not in _PAST and not kind.startswith(("FlatMapGroups", "FlatMapCoGroups")):
        return Refusal(
            kind,
            None,
            f"has {kind} in its plan, of which it is not known to keep groups apart",
            f"Leave it out, {ways.whole}.",
        )
    held = _held(at)
    lost = [name for name, group in named.items() if not follows_from(group, held)]
    if not lost:
        return None
    kept = [name for name in named if name not in lost]
    does = f"{_PAST.get(kind, 'applies a Python function by')} {_texts(held)}"
    holds = ways.join if kind == "Join" else "it hold"
    hint = f"{ways.fewer.format(kept)}, {ways.whole}." if kept else f"Let {holds} {_listed(named)}, {ways.whole}."
    return Refusal(
        kind,
        lost[0],
        f"{does}, which leaves out {', '.join(map(repr, lost))}: groups by {_listed(named)} are mixed",
        hint,
    )


def _check_constant_side(at: Traced, ways: _Ways) -> Refusal | None:
    """Judge what is done with rows that stand in the code, and so are the same for every group."""
    if at.node.kind == "Join":
        how = join_type(at.node)
        kept = "RightOuter" if at.children[1].reads else "LeftOuter"
        if how in ("Inner", "Cross", kept) or (how in ("LeftSemi", "LeftAnti") and at.children[0].reads):
            return None
    hint = f"Join the upstream with them, from the left, {ways.whole}."
    return Refusal(
        at.node.kind, None, "has rows of its own beside those of its upstream, which belong to no group", hint
    )


def _held(at: Traced) -> list[Node]:
    """Return what rows have in common that an operator looks at together."""
    node, child = at.node, at.children[0]
    match node.kind:
        case "Aggregate":
            groups = node.expressions("groupingExpressions")
            made = [one for one in node.expressions("aggregateExpressions") if one.kind == "Alias"]
            in_python = [at.says[one.id] for one in made if one.children[0] in groups and one.id in at.says]
            return [*_given(child.of_row(group) for group in groups), *in_python]
        case "Window":
            return _given(child.of_row(one) for one in node.expressions("partitionSpec"))
        case "Deduplicate":
            return _given(child.of_row(one) for one in node.expressions("keys"))
        case "Distinct":
            return list(child.says.values())
        case "Intersect" | "Except":
            return list(at.says.values())
        case "Join":
            return list(equal_in(at).values())
    return _given(applied_by(at).values())


def _given(found: object) -> list[Node]:
    return [one for one in found if one is not None]  # type: ignore[attr-defined]


def _feeds(top: Traced, groups: list[Node]) -> tuple[tuple[Feed, ...], list[Refusal]]:
    """Return, for each reading of the upstream, where on its way up the groups of its rows can be read off."""
    found, refusals = [], []
    if top.believes:
        hint = f"Compute it in the Silver that it reads, {WHOLE}."
        refusals.append(Refusal("FlatMapGroups", None, "applies a Python function by a computed group", hint))
    for leaf in (at for at in top if not at.children and at.reads):
        way = [at for at in top if leaf.path[: len(at.path)] == at.path]
        feed = _feed(way[::-1], groups)
        if feed is None:
            hint = f"Compute them with withColumn before rows are joined, or filtered by an aggregate, {WHOLE}."
            refusals.append(
                Refusal("Project", None, "computes its groups too late to tell which a row belongs to", hint)
            )
        else:
            found.append(feed)
    return tuple(found), refusals


def _feed(way: list[Traced], groups: list[Node]) -> Feed | None:
    together = False
    for at in way:
        kind = at.node.kind
        constant = any(not child.reads for child in at.children)
        alone = kind in _ROW_BY_ROW or not at.children or (kind == "Join" and constant)
        if not alone and kind not in _GIVES_ITS_GROUPS:
            return None
        if together and kind in ("Filter", "Join"):
            return None
        together = together or not alone
        found = [next((n for n, c in enumerate(at.columns) if at.says.get(c) == group), None) for group in groups]
        places = tuple(place for place in found if place is not None)
        if len(places) == len(groups):
            return Feed(at.path, places)
    return None


def _listed(named: dict[str, Node]) -> str:
    return ", ".join(repr(name) for name in named)


def _texts(held: list[Node]) -> str:
    return ", ".join(dict.fromkeys(map(text_of, held))) or "nothing of its upstream"
