"""What one commit of ours says about itself: the small JSON in Delta's `userMetadata`.

Positions live here and not in a store beside the tables, so that data and position change in one atomic step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kappa_assets.declare.tables import DUPLICATE
from kappa_assets.place.change import Scan

GIVEN, DROPPED, QUARANTINED = "given", "dropped", "quarantined"
"""In the note of a Silver that judges its rows, of its field `judged`: rows that the function gave, and which of them
were dropped and quarantined by an expectation. All others are in the table, but for those OUT_OF_TIME, and each that is
a DUPLICATE."""

REWRITTEN = "rewritten"
"""The same, of a table whose batches write rows in the place of others: how many of these were judged."""

TAKEN = "taken"
"""Beside GIVEN, of a table that holds what changes lead to, and not the changes: how many changes it took in."""

RELEASED = "released"
"""The same, in the note of a commit that judges no batch: rows that were in quarantine, and are in the table by it."""

OUT_OF_TIME = "out_of_time"
"""The same, beside LATE and AHEAD, which count such rows wherever they are: which of both were set aside for it."""

SET_ASIDE = (DROPPED, QUARANTINED, OUT_OF_TIME, DUPLICATE)
"""All that becomes of rows which are given, and are not in the table."""

DELAYS = {**{str(days): days for days in range(7)}, "7_to_29": 7, "30_or_more": 30}
"""In the note of a Silver that says which rows are late, of its field `delays`: names of the days between an event and
its arrival, with the least of each. Under 0 are also rows from the future."""

UNKNOWN_DELAY = "unknown"
"""Beside DELAYS: rows of which the time of the event, or that of the arrival, is not known."""


@dataclass(frozen=True, order=True)
class Position:
    """A place on a tape: everything up to `batch`, which Bronze version `version` wrote. -1, -1: before the first."""

    batch: int
    version: int

    def __str__(self) -> str:
        return f"batch {self.batch}, version {self.version}"


BEFORE_THE_TAPE = Position(-1, -1)
IMPLAUSIBLE = "implausible_arrivals"
"""In a Bronze note's `source`: how many of its rows gave a time of arrival that cannot be, and arrive when read."""

LANDED = "landed"
"""In a Bronze note's `source`: the files taken, each as path below the landing folder, bytes, modification time in
milliseconds, and hash of the bytes, as they were just before they were read. Notes of version 0.1 have no hash."""

RANGES = "ranges"
"""In a Bronze note's `source`, where that has numbers: by each of its parts, the first that the batch took, and the
first that it did not."""

INCARNATION = "incarnation"
"""Beside RANGES: the id of what the source has read, where that can be made anew under the same name."""

ACCEPTED_LOSS = "accepted_loss"
"""Beside RANGES, of the first batch behind what somebody has accepted as lost: `by`, `at`, `reason`, and by part what
is `missing`."""

OTHERS = "others"
"""In a Bronze note's `source`, of a tape that has or had several: what its newest notes said of each other source, by
label: `batch`, `checkpoint`, RANGES and INCARNATION."""

UNNAMED = "unnamed"
"""Beside OTHERS: the label of the source whose rows do not say where they are from, from before there were several."""


@dataclass(frozen=True)
class Offset:
    """How far a Delta stream has read: everything before (version, index); `starting` while in the first snapshot."""

    version: int
    index: int
    starting: bool


@dataclass(frozen=True)
class InputRange:
    """What one batch read of one upstream: after `since` (None: from the beginning) up to and with `until`."""

    generation: int
    since: Offset | None
    until: Offset
    version: int
    """The last upstream version that is wholly in; the one a provenance tag names."""


@dataclass(frozen=True)
class Repair:
    """A commit that did one slice over: its rows up to tape batch `batch` were computed anew.

    `version` is the Bronze version that wrote that batch; `replaced` the rows that were there before.
    """

    slice: str
    batch: int
    version: int
    replaced: int


@dataclass(frozen=True)
class CommitNote:
    """Who wrote a commit, from what, and how far on the tape it brings the table.

    `batch` is the micro-batch's number in its checkpoint; `tape_batch` (Bronze only) the `_batch_id` of its rows. A
    repair, or a release of rows in quarantine, moves no position: it carries `reads` and `position` of the commit
    before it.

    `recomputed` (Gold only) is the version of its upstream that rows were last computed anew from, where that tells
    something: of a table without keys all of its content; of one with keys, where it lies behind what is read, groups
    that are ahead of the position until the reading has passed it.

    `rejected` counts, by the reason, rows that are set aside: by an expectation, or for their time. `warned` counts, by
    expectation, rows that fail one that sets none aside. `judged` counts rows: GIVEN, and what became of them; `delays`
    those of each of DELAYS.
    """

    table: str
    generation: int
    batch: int
    code_version: str
    reads: Mapping[str, InputRange] = field(default_factory=dict)
    position: Mapping[str, Position] = field(default_factory=dict)
    tape_batch: int | None = None
    rows: int | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    warned: Mapping[str, int] = field(default_factory=dict)
    judged: Mapping[str, int] = field(default_factory=dict)
    delays: Mapping[str, int] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    replay: str | None = None
    repair: Repair | None = None
    checkpoint: str | None = None
    """Bronze only: the id of the checkpoint that numbers the batch. Notes of earlier versions have none."""
    inputs: str | None = None
    """A digest of the paths of the files that a Bronze batch brought, in notes of earlier versions: read by nobody."""
    recomputed: int | None = None
    touched: Mapping[str, int] = field(default_factory=dict)
    """Gold only, where a batch touched few groups of a large table: how many `groups`, and the `files` and `bytes` of
    the table that were read for it."""
    scanned: Scan | None = None
    """Where a batch reads more than the rows that came: the files from which its content was computed, of upstreams, of
    inputs that are kept, and of the table itself. Those that are replaced alone are in `touched`. None: not known."""
    landed: int | None = None
    """Beside `scanned`: how many rows of the feed came with the batch; None where the log does not tell."""

    @property
    def reads_on(self) -> bool:
        """Whether it says what was read since the commit before it. A repair and a release repeat what that says."""
        return self.repair is None and RELEASED not in self.judged

    def to_json(self) -> str:
        """Return the note as it stands in Delta's `userMetadata`; fields that say nothing are left out."""
        body: dict[str, Any] = {
            "kappa": 1,
            "table": self.table,
            "generation": self.generation,
            "batch": self.batch,
            "code_version": self.code_version,
            "reads": {
                name: {
                    "generation": r.generation,
                    "since": _offset_list(r.since),
                    "until": _offset_list(r.until),
                    "version": r.version,
                }
                for name, r in self.reads.items()
            },
            "position": {name: [p.batch, p.version] for name, p in self.position.items()},
            "tape_batch": self.tape_batch,
            "rows": self.rows,
            "rejected": dict(self.rejected),
            "warned": dict(self.warned),
            "judged": dict(self.judged),
            "delays": dict(self.delays),
            "source": dict(self.source),
            "replay": self.replay,
            "repair": None if self.repair is None else asdict(self.repair),
            "checkpoint": self.checkpoint,
            "inputs": self.inputs,
            "recomputed": self.recomputed,
            "touched": dict(self.touched),
            "scanned": _scan_body(self.scanned),
            "landed": self.landed,
        }
        return json.dumps({k: v for k, v in body.items() if v not in (None, {})}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> CommitNote | None:
        """Return the note, or None when the text is not one of ours."""
        try:
            body = json.loads(text) if text else None
        except ValueError:
            return None
        if not isinstance(body, dict) or body.get("kappa") != 1:
            return None
        return cls(
            table=body["table"],
            generation=body["generation"],
            batch=body["batch"],
            code_version=body["code_version"],
            reads={
                name: InputRange(r["generation"], _offset_of(r.get("since")), Offset(*r["until"]), r["version"])
                for name, r in body.get("reads", {}).items()
            },
            position={name: Position(*p) for name, p in body.get("position", {}).items()},
            tape_batch=body.get("tape_batch"),
            rows=body.get("rows"),
            rejected=body.get("rejected", {}),
            warned=body.get("warned", {}),
            judged=body.get("judged", {}),
            delays=body.get("delays", {}),
            source=body.get("source", {}),
            replay=body.get("replay"),
            repair=Repair(**body["repair"]) if "repair" in body else None,
            checkpoint=body.get("checkpoint"),
            inputs=body.get("inputs"),
            recomputed=body.get("recomputed"),
            touched=body.get("touched", {}),
            scanned=_scan_of(body.get("scanned")),
            landed=body.get("landed"),
        )


def _offset_list(offset: Offset | None) -> list[Any] | None:
    return None if offset is None else [offset.version, offset.index, offset.starting]


def _offset_of(body: list[Any] | None) -> Offset | None:
    return None if body is None else Offset(*body)


def _scan_body(scan: Scan | None) -> dict[str, int]:
    return {} if scan is None else {name: n for name, n in asdict(scan).items() if n is not None}


def _scan_of(body: Mapping[str, int] | None) -> Scan | None:
    return None if body is None else Scan(body["files"], body.get("rows"), body["bytes"])


def without_judging(note: CommitNote) -> CommitNote:
    """Return the note of a commit for one that judges no new rows: a repair, or rows that were kept."""
    return replace(note, rejected={}, warned={}, judged={}, delays={}, scanned=None, landed=None)
