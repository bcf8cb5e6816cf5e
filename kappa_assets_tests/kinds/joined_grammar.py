"""Functions of two upstreams, made of pieces of SQL that Spark and DuckDB read alike, and rows to try them on.

`s` and `c` have the same columns. A function takes both through steps, joins them, and ends in an answer of some keys.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyspark.sql.types import LongType, StringType, StructField, StructType

Row = tuple[Any, ...]
NAMES = ("who", "kind", "n", "_batch_id", "_row")
SCHEMA = StructType([StructField(name, StringType() if name in NAMES[:2] else LongType()) for name in NAMES])
SIDES = ("s", "c")

STEPS: Mapping[str, str] = {
    "filter": "select * from {t} where n > 2",
    "total": "select who, kind, sum(n) over (partition by who) as n, _batch_id, _row from {t}",
    "newest": "select who, kind, n, _batch_id, _row from (select *, row_number() over (partition by who "
    "order by _batch_id desc, _row desc) as place from {t}) where place = 1",
    "itself": "select a.* from {t} a join (select who, max(n) as most from {t} group by who) b on a.who = b.who "
    "where most > 4",
    "those without": "select a.* from {t} a anti join (select * from {t} where n > 7) b "
    "on a.who is not distinct from b.who",
    "distinct": "select distinct * from {t}",
    # what mixes groups
    "total by another": "select who, kind, sum(n) over (partition by kind) as n, _batch_id, _row from {t}",
    "itself by another": "select a.* from {t} a join (select kind, max(n) as most from {t} group by kind) b "
    "on a.kind = b.kind where most > 6",
    "above the average": "select a.* from {t} a cross join (select avg(n) as mean from {t}) b where n >= mean",
    "in a subquery": "select * from {t} where n >= (select avg(n) from {t})",
    "the first of all": "select * from {t} order by _batch_id, _row limit 4",
    "overwritten": "select upper(who) as who, kind, n, _batch_id, _row from {t}",
}
_ALL = "coalesce(l.{0}, r.{0}) as {0}"
_LEFT = "l.who, l.kind, l.n, r.n as m, l._batch_id, l._row, r._batch_id as r_batch, r._row as r_row"
_FULL = f"{', '.join(map(_ALL.format, ('who', 'kind')))}, {_LEFT.removeprefix('l.who, l.kind, ')}"
_ALONE = "l.who, l.kind, l.n, cast(null as bigint) as m, l._batch_id, l._row, l._batch_id as r_batch, l._row as r_row"


class Join(NamedTuple):
    """How the sides come together: who, kind, n, m and the addresses of both."""

    sql: str
    addressed: bool = False
    """Whether no two rows of one customer have one address."""


JOINS: Mapping[str, Join] = {
    "inner": Join(f"select {_LEFT} from {{l}} l join {{r}} r on l.who = r.who"),
    "left": Join(f"select {_LEFT} from {{l}} l left join {{r}} r on l.who = r.who and r.n < l.n"),
    "right": Join(f"select r.{_LEFT[2:]} from {{l}} l right join {{r}} r on l.who = r.who"),
    "full": Join(f"select {_FULL} from {{l}} l full join {{r}} r on l.who = r.who"),
    "using": Join(f"select who, {_LEFT[7:]} from {{l}} l full join {{r}} r using (who)"),
    "null is null": Join(f"select {_LEFT} from {{l}} l join {{r}} r on l.who is not distinct from r.who"),
    "semi": Join(f"select {_ALONE} from {{l}} l semi join {{r}} r on l.who = r.who and r.n > l.n", True),
    "anti": Join(f"select {_ALONE} from {{l}} l anti join {{r}} r on l.who is not distinct from r.who", True),
    "union": Join(f"select {_ALONE} from (select * from {{l}} union all select * from {{r}}) l"),
    "as of": Join(
        f"select * from (select {_LEFT}, row_number() over (partition by l.who, l._batch_id, l._row order by "
        "coalesce(r.n, -1) desc, coalesce(r._batch_id, -1), coalesce(r._row, -1), r._batch_id nulls first, r._row "
        "nulls first) as place from {l} l left join {r} r on l.who = r.who and r.n <= l.n) where place = 1",
        True,
    ),
    "totals": Join(
        "select who, 'x' as kind, a as n, b as m, 0 as _batch_id, 0 as _row, 0 as r_batch, 0 as r_row from "
        "(select who, sum(n) as a from {l} group by who) l full join (select who, max(n) as b from {r} group by who) r "
        "using (who)",
        True,
    ),
    "in common": Join(
        "select who, 'x' as kind, 1 as n, 2 as m, 0 as _batch_id, 0 as _row, 0 as r_batch, 0 as r_row from "
        "(select who from {l} intersect select who from {r})",
        True,
    ),
    # what mixes groups
    "by another": Join(f"select {_LEFT} from {{l}} l join {{r}} r on l.kind = r.kind"),
    "by a swap": Join(f"select {_LEFT} from {{l}} l join {{r}} r on l.who = r.kind"),
    "by order": Join(f"select {_LEFT} from {{l}} l join {{r}} r on l.who <= r.who"),
    "or": Join(f"select {_LEFT} from {{l}} l join {{r}} r on l.who = r.who or l.n = r.n"),
    "all with all": Join(f"select {_LEFT} from {{l}} l cross join {{r}} r"),
    "anti by another": Join(f"select {_ALONE} from {{l}} l anti join {{r}} r on l.kind = r.kind and r.n > 5", True),
    "who of the other": Join(f"select r.{_LEFT[2:]} from {{l}} l left join {{r}} r on l.who = r.who"),
    "who of one alone": Join(f"select {_LEFT} from {{l}} l full join {{r}} r on l.who = r.who"),
    "union of a swap": Join(
        f"select {_ALONE} from (select * from {{l}} union all select kind, who, n, _batch_id, _row from {{r}}) l"
    ),
}


class End(NamedTuple):
    """What a function ends in, and the keys that it is declared with."""

    sql: str
    keys: tuple[str, ...]
    addressed: bool = False
    """Whether its keys are addresses."""


ENDS: Mapping[str, End] = {
    "total": End("select who, sum(n) as n, sum(m) as m, count(*) as lines from {t} group by who", ("who",)),
    "having": End("select who, max(n) as n from {t} group by who having count(*) > 1", ("who",)),
    "by two": End("select who, kind, count(*) as lines, max(m) as m from {t} group by who, kind", ("who", "kind")),
    "share": End(
        "select who, kind, n, sum(n) over (partition by who) as of_all from "
        "(select who, kind, sum(n) as n from {t} group by who, kind)",
        ("kind",),
    ),
    "rows": End("select who, n, m, _batch_id, _row from {t}", ("_batch_id", "_row"), addressed=True),
    # what mixes groups
    "rank of all": End(
        "select who, rank() over (order by n) as place from (select who, sum(n) as n from {t} group by who)", ("who",)
    ),
    "by another": End("select kind, max(who) as who, sum(n) as n from {t} group by kind", ("kind",)),
    "the first of all": End("select who, sum(n) as n from {t} group by who order by n, who limit 2", ("who",)),
}


class Made(NamedTuple):
    """A function of the grammar, and the columns of both sides that name its groups."""

    left: str | None
    right: str | None
    join: str
    end: str
    by: tuple[str, ...] = ("who",)

    @property
    def keys_fit(self) -> bool:
        """Whether its keys tell its rows apart, so that only its groups are in question."""
        return JOINS[self.join].addressed or not ENDS[self.end].addressed

    def sql(self) -> str:
        """Return it, of tables called `{s}` and `{c}`."""
        sides = [
            f"({STEPS[step].replace('{t}', table)})" if step is not None else table
            for step, table in ((self.left, "{s}"), (self.right, "{c}"))
        ]
        joined = JOINS[self.join].sql.replace("{l}", sides[0]).replace("{r}", sides[1])
        return ENDS[self.end].sql.replace("{t}", f"({joined})")


@dataclass(frozen=True)
class Batch:
    """What came of each upstream between two vectors, as all images, None where nothing did; its rows at the second."""

    images: tuple[list[Row] | None, list[Row] | None]
    rows: tuple[list[Row], list[Row]]


def life(seed: int, batches: int = 2) -> list[Batch]:
    """Return batches of two upstreams; the first is all that there was before.

    A row is inserted, deleted or updated, also to another group or to none; several changes of one row may come in one
    batch, and a batch may bring nothing of one of them.
    """
    dice = random.Random(seed)
    held: tuple[dict[Row, Row], dict[Row, Row]] = ({}, {})
    number = 0

    def row(address: Row) -> Row:
        return dice.choice([None, "a", "A", "b", "c"]), dice.choice("abx"), dice.randrange(1, 10), *address

    def changed(side: dict[Row, Row]) -> list[Row]:
        nonlocal number
        number += 1
        address = dice.choice(sorted(side)) if side and dice.random() < 0.7 else (0, number)
        before = side.pop(address, None)
        if before is None or dice.random() < 0.6:  # or else it is deleted
            side[address] = row(address)
        return [image for image in (before, side.get(address)) if image is not None]

    found = []
    for place in range(batches + 1):
        images: list[list[Row] | None] = []
        for side in held:
            many = 9 if place == 0 else dice.choice([0, 1, 2, 3])
            came = [image for _ in range(many) for image in changed(side)]
            images.append(came or None)
        if not any(images):
            images[0] = changed(held[0])
        found.append(Batch((images[0], images[1]), ([*held[0].values()], [*held[1].values()])))
    return found
