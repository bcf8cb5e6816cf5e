"""Which source reads what a tape declares, by the type of that. Nothing of a source is imported before it is asked."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from functools import singledispatch
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kappa_assets.declare.kafka import Kafka
from kappa_assets.declare.source import DeclaredSource, Files
from kappa_assets.errors import LogicError, SourceError

if TYPE_CHECKING:
    from kappa_assets.log.delta_log import Commit
    from kappa_assets.names import TableName
    from kappa_assets.place.local.lake import Lake
    from kappa_assets.sources.source import Given, Source
    from kappa_assets.sources.standings import Mine


class Watch(Protocol):
    """Tells of deliveries that are others now than they were when they were read, and are not read again."""

    def add(self, commits: Iterable[Commit]) -> None:
        """Take in commits of the tape, oldest first."""
        ...

    def changed(self, aside: Collection[str] = ()) -> list[Mapping[str, object]]:
        """Return those deliveries. `aside`: the names of those set aside."""
        ...


@singledispatch
def source_of(declared: DeclaredSource, given: Given) -> Source:  # noqa: ARG001 -- what is registered takes it
    """Return the source of a declaration. Register one of one's own: `@source_of.register(...)`. Raises LogicError."""
    raise LogicError(
        f"{type(declared).__name__} is declared as a source, and nothing is known that reads it",
        hint=f"Register it in the pipeline's module: @source_of.register({type(declared).__name__}).",
    )


@source_of.register(Files)
def _(declared: Files, given: Given) -> Source:
    from kappa_assets.sources.files.files_source import FilesSource

    return FilesSource(declared, given)


@source_of.register(Kafka)
def _(declared: Kafka, given: Given) -> Source:
    from kappa_assets.sources.kafka.kafka_source import KafkaSource

    return KafkaSource(declared, given)


@singledispatch
def watch_of(
    declared: DeclaredSource,
    landing: Path,
    label: str | None = None,
) -> Watch | None:
    """Return what watches for deliveries that changed unread; None where there can be none.

    `label`: of a tape with several sources, the one that is meant.
    """
    del declared, landing, label
    return None


@watch_of.register(Files)
def _(declared: Files, landing: Path, label: str | None = None) -> Watch | None:
    from kappa_assets.sources.files.landed_files import LandedFiles

    if declared.overwritten != "name":
        return None
    return LandedFiles(landing / declared.folder, declared.pattern, recursive=declared.recursive, label=label)


@singledispatch
def take_again(
    declared: DeclaredSource, lake: Lake, bronze: TableName, landing: Path, names: tuple[str, ...], mine: Mine
) -> dict[str, str]:
    """Have deliveries that were set aside taken once more; return under which name each is taken then.

    `names`: those meant; none: all that can be. `mine`: which are this source's. Raises SourceError.
    """
    del lake, landing, names, mine
    raise SourceError(
        f"what was set aside of {bronze} cannot be taken again: {declared.described} gives each delivery once",
        hint="Mend it, and have the source send it anew.",
    )


@take_again.register(Files)
def _(
    declared: Files, lake: Lake, bronze: TableName, landing: Path, names: tuple[str, ...], mine: Mine
) -> dict[str, str]:
    from kappa_assets.sources.files.set_aside import SetAsideFiles

    return SetAsideFiles(lake, bronze, mine).retry(landing / declared.folder, names)


@singledispatch
def deliveries_of(
    declared: DeclaredSource, lake: Lake, bronze: TableName, pattern: str, most: int, label: str | None = None
) -> list[dict[str, object]]:
    """Return the newest deliveries that a tape has of a source, and those set aside, as `kappa deliveries` shows them.

    `label`: of a tape with several sources, the one that is meant. Of a source with numbers these are its ranges.
    """
    from kappa_assets.log.delta_log import notes_back
    from kappa_assets.log.note import RANGES

    notes = (note for _, note in notes_back(lake.folder(bronze)) if note.tape_batch is not None)
    ranges = (
        {"part": part, "from": since, "before": until, "batch": note.tape_batch}
        for note in notes
        if label in (None, note.source.get("name", declared.label))
        for part, (since, until) in note.source.get(RANGES, {}).items()
        if until > since and fnmatch.fnmatchcase(part, pattern)
    )
    return list(islice(ranges, most))


@deliveries_of.register(Files)
def _(
    declared: Files, lake: Lake, bronze: TableName, pattern: str, most: int, label: str | None = None
) -> list[dict[str, object]]:
    from kappa_assets.sources.ledger.listed import listed_files

    del declared
    return listed_files(lake, bronze, pattern, most, label)
