"""A run of the host as data: what lands, when it is killed, and what it does. Shared by the driver and the tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from kappa_assets.faults import Point

Mode = Literal["driver", "jvm", "both"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Land:
    """These files of the staging folder land, each by one rename: in `invoices`, where no folder is named."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class Archiving:
    """From here on, landed files are moved once they are on the tape."""


@dataclass(frozen=True)
class Extended:
    """From here on, the pipeline is the whole example, and has a Silver whose rows are unique."""


@dataclass(frozen=True)
class Drain:
    """The host runs until caught up."""


@dataclass(frozen=True)
class Stream:
    """The host streams until Silver and the first Gold have this many batches of the tape."""

    tape_batches: int


@dataclass(frozen=True)
class Replay:
    """`silver.sales` and all below are replayed from inception, and promoted."""


@dataclass(frozen=True)
class Repair:
    """Rows of `silver.sales` are deleted by hand, and then every slice is done over."""


@dataclass(frozen=True)
class Crash:
    """From here on: the `nth` time that `what` (a table, `registry` or `links`) is at `point`, `mode` is killed."""

    point: Point
    what: str
    mode: Mode
    nth: int = 1


@dataclass(frozen=True)
class Sleep:
    """From here on: the first time that `what` is at `point`, the driver is stopped until somebody wakes it."""

    point: Point
    what: str


Step = Land | Archiving | Extended | Drain | Stream | Replay | Repair | Crash | Sleep
_KINDS = {kind.__name__: kind for kind in (Land, Archiving, Extended, Drain, Stream, Replay, Repair, Crash, Sleep)}


def dump(steps: Sequence[Step], path: Path) -> Path:
    path.write_text(json.dumps([{"kind": type(step).__name__, **asdict(step)} for step in steps], indent=1))
    return path


def load(path: Path) -> list[Step]:
    found: list[Step] = []
    for body in json.loads(path.read_text()):
        kind = _KINDS[body.pop("kind")]
        found.append(Land(tuple(body["files"])) if kind is Land else kind(**body))
    return found
