"""What a kind of table can, as a value: the answers that the rest of the house asks for, and how its query is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

from kappa_assets.kinds.query import Setting, TableQuery
from kappa_assets.log.tape import Tape
from kappa_assets.logic.logic_check import Answer
from kappa_assets.names import TableName
from kappa_assets.place.registry import Generation


@dataclass(frozen=True)
class Standing:
    """Where a derived table stands: what it reads, the tape that is from, and the version of its deployed logic."""

    upstream: TableName
    tape: Tape
    code_version: str


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
        check: gives what a table's function makes of its upstream, which may be empty, by the rules of this kind.
            Raises LogicError.
        matched_by: the columns by which the rows of two generations are matched; none: whole rows, counted.
        keeps_addresses: whether each row tells where on the tape it is from, and lies in the slice of its arrival. Then
            slices are partitions in Dagster, lineage is told by slice, two generations are compared row by row as of
            one batch, and each batch adds rows. Else each batch writes the table anew, and it is compared as a whole.
        repairable: whether chosen slices can be done over in place.
        keeps_rows: whether a replay from a later start takes the live table's earlier rows over.
        sets_aside: whether rows that fail an expectation lie in a table beside it.
    """

    name: str
    query: MakeQuery
    check: Callable[[Any, DataFrame], Answer]
    matched_by: Callable[[Any], tuple[str, ...]] = _by_nothing
    keeps_addresses: bool = False
    repairable: bool = False
    keeps_rows: bool = False
    sets_aside: bool = False
