"""What a check is called and says, and what it found for one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kappa_assets.names import Layer, TableName

Severity = Literal["warn", "error"]
"""How bad a failed check is: amber, or red."""

Fact = int | float | str | None

CHECKS: Mapping[str, str] = {
    "caught_up": "Reflects what is on the tape: the position, and how old the oldest unread row is.",
    "logic_current": "The live generation was written by the logic that is deployed now.",
    "tape_continuous": "No hole and no overlap: batches on the tape count up, input ranges of commits tile.",
    "append_only": "Nothing was taken off the tape, and nobody but its stream wrote rows to it.",
    "payload_read": "No field came to be in what lands that no Silver above the tape reads; rows are sampled.",
    "expectations": "Rows of the last day meet what the table expects of them, and each is written or set aside.",
    "stream_healthy": "The table's query runs without an error; for a tape: no file was set aside lately.",
}
"""Every check and what it checks."""

_OF_BRONZE = ("tape_continuous", "append_only", "payload_read", "stream_healthy")
_OF_SILVER = ("caught_up", "logic_current", "tape_continuous", "expectations", "stream_healthy")
_OF_GOLD = ("caught_up", "logic_current", "tape_continuous", "stream_healthy")


def checks_of(layer: Layer) -> tuple[str, ...]:
    """Return the checks that a table of this layer has."""
    return {Layer.BRONZE: _OF_BRONZE, Layer.SILVER: _OF_SILVER, Layer.GOLD: _OF_GOLD}[layer]


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
