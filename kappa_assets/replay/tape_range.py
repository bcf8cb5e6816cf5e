"""Which part of a tape a replay plays: asked for by Bronze versions or arrival days, found in the tape index."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from kappa_assets.errors import ReplayError
from kappa_assets.graph import Pipeline
from kappa_assets.log.tape import Tape, TapeCommit
from kappa_assets.names import TableName


@dataclass(frozen=True)
class Asked:
    """The part of the tape as it was asked for: from where (None: inception) and up to where (None: its end).

    Versions are Bronze versions; times are arrival days, ISO, UTC.
    """

    from_version: int | None = None
    from_time: str | None = None
    to_version: int | None = None
    to_time: str | None = None

    @classmethod
    def of(
        cls,
        from_version: int | None,
        from_time: str | dt.date | None,
        to_version: int | None,
        to_time: str | dt.date | None,
    ) -> Asked:
        """Return what was asked for, in one spelling. Raises ReplayError for a contradiction or what is no day."""
        for version, time, end in ((from_version, from_time, "from"), (to_version, to_time, "to")):
            if version is not None and time is not None:
                raise ReplayError(
                    f"{end}_version {version} and {end}_time {time} are both given", hint="Give one of the two."
                )
        return cls(from_version or None, _day(from_time, "from_time"), to_version, _day(to_time, "to_time"))

    @property
    def start(self) -> str:
        """The start, as people read it."""
        if self.from_time is not None:
            return f"the first batch with rows that arrived on {self.from_time} or later"
        return "inception" if self.from_version is None else f"Bronze version {self.from_version}"

    @property
    def end(self) -> str | None:
        """The end, as people read it; None for the end of the tape."""
        if self.to_time is not None:
            return f"what arrived up to {self.to_time}"
        return None if self.to_version is None else f"Bronze version {self.to_version}"

    def facts(self) -> Mapping[str, int | str]:
        """What was asked for, as it is stored: equal for equal requests."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class TapeRange:
    """The batches of one tape to play: `first` to `last`, both in; without `last` it goes on with the tape."""

    first: int
    last: int | None

    def of(self, commits: list[TapeCommit]) -> list[TapeCommit]:
        """Return the commits in the range."""
        return [c for c in commits if c.batch >= self.first and (self.last is None or c.batch <= self.last)]


def ranges_of(
    pipeline: Pipeline, chosen: Sequence[TableName], tapes: Mapping[TableName, Tape], asked: Asked
) -> dict[TableName, TapeRange]:
    """Return which part of each tape is played: of those of the chosen tables what was asked for, of others all.

    Raises ReplayError for a part of a tape, where a chosen table stands on several.
    """
    several = next((table for table in chosen if len(pipeline.tapes_of(table)) > 1), None)
    if several is not None and asked != Asked():
        raise ReplayError(
            f"{several} stands on {' and '.join(map(str, pipeline.tapes_of(several)))}; a start or an end is a place "
            "on one tape",
            hint="Choose the table above it whose tape is meant: those below it are rebuilt too. Or leave both out.",
        )
    meant = {pipeline.tape_of(table) for table in chosen if table != several}
    return {name: tape_range(tape, asked if name in meant else Asked()) for name, tape in tapes.items()}


def tape_range(tape: Tape, asked: Asked) -> TapeRange:
    """Return the batches that were asked for.

    Raises ReplayError when the tape is empty, does not hold the versions or days, the tape index does not reach back
    to them, or the end is before the start.
    """
    commits = tape.commits()
    if not commits:
        raise ReplayError(
            f"{tape.bronze} holds nothing yet", hint="Let data land first: kappa drain, or start the stream."
        )
    first, last = _first_batch(tape, commits, asked), _last_batch(tape, commits, asked)
    oldest = commits[0]
    if min(first, first if last is None else last) < oldest.batch:
        raise ReplayError(
            f"the tape index of {tape.bronze} begins with batch {oldest.batch}, version {oldest.version}; a replay "
            f"from {asked.start}{f' up to {asked.end}' if asked.end else ''} needs batches before it",
            hint=f"Choose version {oldest.version} or a later one, or restore {tape.bronze} with its index.",
        )
    if last is not None and last < first:
        raise ReplayError(
            f"the range is upside down: it begins with batch {first} ({asked.start}) and ends with batch {last} "
            f"({asked.end})",
            hint=f"kappa tape {tape.bronze} lists versions and slices in order.",
        )
    return TapeRange(first, last)


def _first_batch(tape: Tape, commits: list[TapeCommit], asked: Asked) -> int:
    if asked.from_time is None:
        version = asked.from_version or 0
        if version > tape.head().version:
            tape.position_at(version)  # a version after the last batch may be maintenance; one that is not there raises
        if commits[0].version == version:
            return commits[0].batch
        return tape.first_batch_from(version)
    found = next((c.batch for c in commits if any(day >= asked.from_time for day in c.slices)), None)
    if found is None:
        raise ReplayError(
            f"nothing on {tape.bronze} arrived on {asked.from_time} or later",
            hint=f"Its newest slice is {max((day for c in commits for day in c.slices), default='none')}.",
        )
    return found


def _last_batch(tape: Tape, commits: list[TapeCommit], asked: Asked) -> int | None:
    if asked.to_version is not None:
        if asked.to_version < 0:
            raise ReplayError(f"{asked.to_version} is no Bronze version", hint=f"kappa tape {tape.bronze} lists them.")
        last = tape.position_at(asked.to_version).batch
        found = f"version {asked.to_version}"
    elif asked.to_time is not None:
        limit = asked.to_time
        later = (c.batch for c in commits if c.slices and all(day > limit for day in c.slices))
        last = next(later, commits[-1].batch + 1) - 1
        found = asked.to_time
    else:
        return None
    if last < commits[0].batch:
        raise ReplayError(
            f"{tape.bronze} holds no batch up to {found}, or its index does not reach back to it",
            hint=f"Its oldest known batch is {commits[0].batch}, version {commits[0].version}.",
        )
    return last


def _day(value: str | dt.date | None, name: str) -> str | None:
    """Return a day in ISO form. A moment stands for its day in UTC; one without a zone is UTC already."""
    try:
        found = dt.datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError:
        raise ReplayError(
            f"{name} {value!r} is neither a day nor a moment", hint="Such as 2026-01-31 or 2026-01-31T08:00:00Z; UTC."
        ) from None
    if isinstance(found, dt.datetime):
        found = (found if found.tzinfo is None else found.astimezone(dt.UTC)).date()
    return None if found is None else found.isoformat()
