"""What the lineage sensor remembers between ticks, as the text Dagster keeps for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from kappa_assets.log.note import Position
from kappa_assets.names import TableName


@dataclass(frozen=True)
class Mark:
    """How far a table is reported: its generation and Delta version."""

    generation: int
    version: int


@dataclass(frozen=True)
class LineageCursor:
    """How far every table is reported, and what its checks last said."""

    marks: Mapping[TableName, Mark] = field(default_factory=dict)
    pending: Mapping[TableName, Position] | None = None
    """The cut that the last tick began to report and had no time to finish; None when it was finished."""
    checked_at: float = 0.0
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """What was reported of each check that did not pass, `warn` or `error`, by `table/check`."""

    def to_json(self) -> str:
        """Return the cursor as the sensor keeps it."""
        return json.dumps(
            {
                "marks": {str(t): [m.generation, m.version] for t, m in self.marks.items()},
                "pending": None
                if self.pending is None
                else {str(t): [p.batch, p.version] for t, p in self.pending.items()},
                "checked_at": self.checked_at,
                "verdicts": dict(self.verdicts),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | None) -> LineageCursor:
        """Return the cursor; an empty one for a first tick, or a text that is not ours.

        Starting over loses nothing and repeats nothing: what is stored in Dagster's events is looked up before
        anything is reported.
        """
        try:
            body = json.loads(text) if text else {}
            pending = body.get("pending")
            return cls(
                {TableName.parse(t): Mark(*m) for t, m in body.get("marks", {}).items()},
                None if pending is None else {TableName.parse(t): Position(*p) for t, p in pending.items()},
                float(body.get("checked_at", 0.0)),
                body.get("verdicts", {}),
            )
        except (ValueError, TypeError, AttributeError):
            return cls()
