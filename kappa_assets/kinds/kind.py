"""What a kind of table can, as a value: the answers that the rest of the house asks for, and how its query is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from kappa_assets.columns import ADDRESS
from kappa_assets.kinds.query import Setting, TableQuery
from kappa_assets.log.tape import Tape
from kappa_assets.logic.logic_check import Answer
from kappa_assets.names import TableName
from kappa_assets.place.registry import Generation


@dataclass(frozen=True)
class Standing:
    """Where a derived table stands: what it reads, the tapes that is from, and the version of its deployed logic."""

    upstreams: tuple[TableName, ...]
    tapes: tuple[Tape, ...]
    code_version: str
    sliced: frozenset[TableName] = frozenset()
    """Those of its upstreams whose rows keep their addresses, and so can be cut at a batch."""
    unique: tuple[tuple[str, ...], ...] = (ADDRESS,)
    """For each upstream, the columns by which no two of its rows are the same; none where that is not known."""
    is_read: bool = False
    """Whether another table of the pipeline reads it, and so follows its changes."""


@dataclass(frozen=True)
class Explanation:
    """How a batch of a table is applied, in words for people, each a sentence or two."""

    batch: str
    """What becomes of it."""
    reads: str
    """What is read of the upstream for it."""
    writes: str
    """What is read and written of the table."""
    groups: str | None = None
    """What is recomputed together."""
    cheaper: tuple[str, ...] = ()
    """What would make it cost less, or what it costs that need not be."""


def _untold(table: Any, upstream: str, answer: Answer | None) -> Explanation:  # noqa: ARG001 -- of a kind that does not say
    return Explanation(
        f"It is applied by the query of its kind, which the module of {type(table).__name__} registers.",
        f"Its query says what it reads of {upstream}.",
        "Its query says what it writes.",
    )


def _as_given(table: Any, *upstreams: DataFrame) -> DataFrame:
    """Return what the function gives, which is what a table of most kinds holds."""
    rows: DataFrame = table(*upstreams)
    return rows


def _by_nothing(table: object) -> tuple[str, ...]:  # noqa: ARG001 -- of a kind, not of a table
    return ()


MakeQuery = Callable[[Setting, Any, Generation, Standing], TableQuery]
"""Makes the query of one generation of a table, which is declared as the kind's own type."""


@dataclass(frozen=True)
class Kind:
    """How a table of this kind takes in a batch, and what follows from that for everybody else.

    Args:
        name: the field's word for it; shown to people.
        query: makes the query that writes a generation; what a batch becomes is a Change that its `apply` makes.
        check: gives what a table's function makes of its upstreams, given in its order, which may be empty, by the
            rules of this kind; `unique` says by which columns no two rows of each are the same, none where that is not
            known. Raises LogicError.
        matched_by: the columns by which the rows of two generations are matched; none: whole rows, counted.
        unique_by: the columns by which no two rows of a table are the same; none: that is not known.
        keeps_addresses: whether each row tells where on the tape it is from, and lies in the slice of its arrival. Then
            slices are partitions in Dagster, lineage is told by slice, two generations are compared row by row as of
            one batch, and each batch adds rows. Else each batch writes the table anew, and it is compared as a whole.
        repairable: whether chosen slices can be done over in place.
        keeps_rows: whether a replay from a later start takes the live table's earlier rows over.
        sets_aside: whether rows that fail an expectation lie in a table beside it.
        explain: says how a batch is applied, given the table, the name of its upstream, and what `check` gives; None
            while the columns of the upstream are not known.
        content: gives what a table holds of all rows of its upstreams, given in its order.
    """

    name: str
    query: MakeQuery
    check: Callable[..., Answer]
    matched_by: Callable[[Any], tuple[str, ...]] = _by_nothing
    unique_by: Callable[[Any], tuple[str, ...]] = _by_nothing
    keeps_addresses: bool = False
    repairable: bool = False
    keeps_rows: bool = False
    sets_aside: bool = False
    explain: Callable[[Any, str, Answer | None], Explanation] = _untold
    content: Callable[..., DataFrame] = _as_given
