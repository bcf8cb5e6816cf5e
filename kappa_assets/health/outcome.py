"""What a check is called and says, and what it found for one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kappa_assets.declare.tables import Bronze, Derived, Table
from kappa_assets.names import Layer, TableName

Severity = Literal["warn", "error"]
"""How bad a failed check is: amber, or red."""

Fact = int | float | str | None

EXPECTATIONS = "expectations"
PROPORTION = "reads_in_proportion"
CHECKS: Mapping[str, str] = {
    "caught_up": "Reflects what is on the tape, and nothing waits before it: position, age of the oldest unread row.",
    "logic_current": "The live generation was written by the logic that is deployed now.",
    "tape_continuous": "No hole and no overlap: batches on the tape count up, input ranges of commits tile.",
    "append_only": "Nothing was taken off the tape, and nobody but its stream wrote rows to it.",
    "payload_read": "No field came to be in what lands that no Silver above the tape reads; rows are sampled.",
    EXPECTATIONS: "Rows of the last day meet what the table expects of them, and each is written or set aside.",
    PROPORTION: "The newest batches read no more than 100 rows for each that landed, or at most a million each.",
    "stream_healthy": "The table's query runs without an error; for a tape: no file was set aside lately.",
}
"""Every check and what it checks."""

_OF_BRONZE = ("tape_continuous", "append_only", "payload_read", "stream_healthy")
_OF_DERIVED = ("caught_up", "logic_current", "tape_continuous", PROPORTION, "stream_healthy")
_OF_JUDGED = ("caught_up", "logic_current", "tape_continuous", EXPECTATIONS, PROPORTION, "stream_healthy")


def checks_of(table: Table) -> tuple[str, ...]:
    """Return the checks that a table has."""
    match table:
        case Bronze():
            return _OF_BRONZE
        case Derived() if table.expectations or table.name.layer is Layer.SILVER:
            return _OF_JUDGED
    return _OF_DERIVED


@dataclass(frozen=True)
class CheckOutcome:
    """What one check found for one table. `severity` says how bad it is, or would be if it failed."""

    table: TableName
    check: str
    passed: bool
    severity: Severity
    summary: str
    """One or two sentences for people; what to do is said in them."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """Numbers and words under stable names; seconds end in `_seconds`."""
    rows: tuple[Mapping[str, object], ...] = ()
    """What it found, one by one, all with the same columns: files set aside, commits that are wrong."""
