"""What a table whose batches write rows in the place of others expects of them: they are counted, or none is written.

Such rows cannot be set aside: what a table is to hold of a group would be gone with them, and come back with the next
batch that touches it. So there is `warn`, and `fail`.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.declare.tables import Derived
from kappa_assets.errors import ExpectationFailed
from kappa_assets.kinds.judging.verdicts import failing, fails_column, failures, failures_in_words
from kappa_assets.log.note import REWRITTEN
from kappa_assets.logic.column_rules import JUDGED
from kappa_assets.place.change import Counts

_REWRITTEN = f"{JUDGED}{REWRITTEN}"


def with_failures(table: Derived, rows: DataFrame) -> tuple[DataFrame, tuple[str, ...]]:
    """Return rows that a batch writes, with columns of booleans that are to be counted, and the names of these."""
    if not table.expectations:
        return rows, ()
    fails = {fails_column(name): fails for name, fails in failing(table, "warn", "fail").items()}
    return rows.withColumns({_REWRITTEN: F.lit(True), **fails}), (_REWRITTEN, *fails)


def noted_failures(table: Derived, counts: Counts) -> dict[str, Any]:
    """Return what the note of a commit says about the rows that were judged, by the names of its fields."""
    if not table.expectations:
        return {}
    warned = {e.name: rows for e, rows in failures(table, "warn", counts).items()}
    return {"warned": warned, "judged": {REWRITTEN: counts.counted.get(_REWRITTEN, 0)}}


def refuse_failures(table: Derived, batch: int, counts: Counts) -> None:
    """Raise ExpectationFailed when a row of a batch fails what no row may. It tells of no row, only how many."""
    failed = failures(table, "fail", counts)
    if failed:
        told = failures_in_words(failed, counts.counted.get(_REWRITTEN, 0))
        raise ExpectationFailed(
            f"{table.name} {ExpectationFailed.SAYS} its batch {batch}: {told}",
            hint=f"The table stays as it was. To see them, call {table.name.name} with the tables that it reads, and "
            f"keep what fails. Mend the function, or the expectation at {table.origin}, and start the stream again: it "
            "goes on there.",
        )
