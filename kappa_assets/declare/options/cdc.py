"""Change data capture as a declaration: which changes belong together, which is newer, and what is kept of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kappa_assets.declare.options.snapshots import check_snapshots, share_of
from kappa_assets.declare.options.spans import time_span
from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.declare.refusals import check_column, check_list, check_made, check_named_once, described
from kappa_assets.declare.tables import Expectation
from kappa_assets.errors import DeclarationError
from kappa_assets.names import TableName

VALID_FROM, VALID_TO, IS_CURRENT = "_valid_from", "_valid_to", "_is_current"
"""The columns that a table with scd=2 has beside those of its function."""
TOO_OLD = "too_old"
"""The reason for which a change is set aside that comes when deletes of its time may be forgotten."""
_EXAMPLE = "cdc(keys=['customer_id'], sequence_by='source_lsn', delete_when=\"op = 'd'\", scd=1)"


@dataclass(frozen=True)
class Cdc:
    """How the changes that a function gives become rows: as `cdc` says."""

    keys: tuple[str, ...]
    sequence_by: tuple[str, ...]
    scd: Literal[1, 2] = 1
    delete_when: str | None = None
    truncate_when: str | None = None
    track: tuple[str, ...] = ()
    """Of scd=2: columns of which a new value opens a version; none: all but keys, sequence and lineage."""
    unavailable: str | None = None
    """The text that stands in a column for a value that a change does not tell."""
    forget_deletes: dt.timedelta | None = None
    """How old a change is at most when it arrives; None: it may be of any age."""
    snapshots: bool = False
    """Whether the rows are those of full snapshots: all of one sequence are one."""
    complete_when: str | None = None
    snapshot_rows: str | None = None
    """The column that tells how many keys a snapshot has."""
    max_deleted: float | None = None
    """Which share of the keys that the table shows a batch may delete at most; None: all."""

    @property
    def versions_of(self) -> tuple[str, ...]:
        """The columns that tell the rows of the table apart."""
        return self.keys if self.scd == 1 else (*self.keys, VALID_FROM)

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """What every change must meet to be merged: those without a key or a sequence are quarantined."""
        of_no_key = self.truncate_when or self.complete_when
        truncates = f"coalesce({of_no_key}, false) OR " if of_no_key else ""
        keys = [Expectation(f"has_{name}", f"{truncates}`{name}` IS NOT NULL", "quarantine") for name in self.keys]
        ordered = [Expectation(f"has_{name}", f"`{name}` IS NOT NULL", "quarantine") for name in self.sequence_by]
        if self.forget_deletes is None:
            return (*keys, *ordered)
        # Told by the row alone, and so alike in any split. Where nobody knows when it arrived, nobody knows its age.
        span = self.forget_deletes // dt.timedelta(microseconds=1)
        young = self.is_from(f"timestamp_micros(unix_micros(_arrived_at) - {span})")
        (sequence,) = self.sequence_by
        return (*keys, *ordered, Expectation(TOO_OLD, f"`{sequence}` IS NULL OR {young}", "quarantine"))

    def is_from(self, moment: str) -> str:
        """Return SQL for whether a change, whose sequence is a time or a date, is of a moment in SQL or of a later one.

        By days first: those of a date may be more than a number of microseconds can tell.
        """
        (sequence,) = self.sequence_by
        day = f"CAST(`{sequence}` AS DATE)"
        same_day = f"CAST(`{sequence}` AS TIMESTAMP) >= {moment}"
        return f"CASE WHEN {day} = CAST({moment} AS DATE) THEN {same_day} ELSE {day} > CAST({moment} AS DATE) END"


def cdc(  # noqa: PLR0913 -- each is an option of the declaration, and given by name
    *,
    keys: Sequence[str],
    sequence_by: str | Sequence[str],
    scd: int = 1,
    delete_when: str | None = None,
    truncate_when: str | None = None,
    track: Sequence[str] = (),
    unavailable: str | None = None,
    forget_deletes: str | None = None,
    snapshots: bool = False,
    complete_when: str | None = None,
    snapshot_rows: str | None = None,
    max_deleted: str | None = None,
) -> Cdc:
    """Declare that a Silver's function gives changes of a source's rows, and what the table holds of them.

    The same changes give the same table in any order, split in any way, and however often they come: of two changes of
    a key the one with the greater sequence is newer, whenever it arrives. Where that is equal a delete is the newer
    one, else the one with the greater content, column by column; so the order of arrival never decides. Who wants it to
    adds `_batch_id` and `_row` to `sequence_by`. Of changes that are the same in all this, the first to arrive stays.

    Changes without a value in a key or in the sequence are quarantined, as by expectations `has_<column>`.

    Args:
        keys: columns of the function's output that say which row of the source changed.
        sequence_by: the column, or columns, of the output that order the changes of a key: numbers, texts, dates or
            times, such as a log's position.
        scd: 1: the table holds the newest state of each key. 2: each version of it, with `_valid_from`, `_valid_to` and
            `_is_current`. These are values of `sequence_by`; of several columns, structs of them. `_valid_to` is null
            while nothing newer is known, and a delete ends a version.
        delete_when: a condition in SQL on the output: the change deletes its key.
        truncate_when: a condition in SQL on the output: the change deletes all keys, as of its sequence.
        track: with scd=2, columns of which another value opens a new version; the others show their newest value
            within the version. Left out, all but keys, sequence and lineage: what says nothing new opens none.
        unavailable: a text that stands in a column of texts where the change does not tell its value, for it is as it
            was: `__debezium_unavailable_value`. The table shows the newest value that a change tells since the key was
            last deleted, whenever that change comes; null where none does.
        forget_deletes: with scd=1 and a sequence that is one time or date, such as "90 days": how old a change is at
            most when it arrives. An older one is quarantined as `too_old`, and so is one whose arrival is not known.
            What is known of deleted keys is let go of when it is twice as old as that: so it takes no more room, and
            the table is the same, unless something comes on the tape that much later than what arrived after it.
        snapshots: the rows are those of full exports: all with one value of the sequence are one snapshot, in however
            many files and batches they come. Keys that the newest whole snapshot lacks are deleted as of it; rows of
            newer ones, whole or not, are taken in as changes. One that is not whole deletes nothing.
        complete_when: a condition in SQL on the output: the row says that its snapshot is whole. It may have no key,
            and tells nothing else then. It must come last; where files may come in any order, say snapshot_rows.
        snapshot_rows: a column of whole numbers that tells how many keys the snapshot of a row has: it is whole when as
            many different ones have come. With both, both must hold.
        max_deleted: such as "10 %": of the keys that the table shows a batch may delete no larger share. Else nothing
            of it is written, and the table waits with that error until the declaration allows for it.

    Raises DeclarationError, with the file and line of the call.
    """
    origin = origin_of_caller()
    ordered = (sequence_by,) if isinstance(sequence_by, str) else sequence_by
    columns = {
        "keys": check_list("keys of cdc()", keys, origin, str, "['customer_id']"),
        "sequence_by": check_list("sequence_by of cdc()", ordered, origin, str, "'source_lsn'"),
        "track": check_list("track of cdc()", track, origin, str, "['segment']"),
    }
    _check_columns(columns, origin)
    conditions = {"delete_when": delete_when, "truncate_when": truncate_when, "complete_when": complete_when}
    for name, condition in conditions.items():
        _check_condition(name, condition, origin)
    if scd not in (1, 2):
        raise DeclarationError(
            f"scd of cdc() must be 1 or 2; got {described(scd)}",
            origin=origin,
            hint="1 keeps the newest state of each key, 2 each version of it.",
        )
    if scd == 1 and track:
        raise DeclarationError(
            f"track of cdc() says which columns open a new version, and scd=1 keeps none: {list(track)}",
            origin=origin,
            hint="Leave track out, or say scd=2.",
        )
    if unavailable is not None and (not isinstance(unavailable, str) or not unavailable):
        raise DeclarationError(
            f"unavailable of cdc() must be a text; got {described(unavailable)}",
            origin=origin,
            hint="Debezium writes '__debezium_unavailable_value', unless told otherwise.",
        )
    forgets = None if forget_deletes is None else _forgets(forget_deletes, scd, columns["sequence_by"], origin)
    others = {"scd": scd, "truncate_when": truncate_when, "unavailable": unavailable, "forget_deletes": forget_deletes}
    check_snapshots(snapshots, complete_when, snapshot_rows, others | {"max_deleted": max_deleted}, origin)
    kept: Literal[1, 2] = 2 if scd == 2 else 1  # noqa: PLR2004 -- as it is declared
    return Cdc(
        **columns,
        scd=kept,
        delete_when=delete_when,
        truncate_when=truncate_when,
        unavailable=unavailable,
        forget_deletes=forgets,
        snapshots=snapshots,
        complete_when=complete_when,
        snapshot_rows=snapshot_rows,
        max_deleted=share_of(max_deleted, origin),
    )


def _forgets(given: str, scd: int, sequence_by: tuple[str, ...], origin: Origin) -> dt.timedelta:
    if scd != 1:
        raise DeclarationError(
            f"forget_deletes of cdc() lets go of deletes, and each of them ends a version that scd={scd} keeps",
            origin=origin,
            hint="Leave forget_deletes out, or say scd=1.",
        )
    if len(sequence_by) != 1:
        raise DeclarationError(
            f"forget_deletes of cdc() needs one sequence that is a time; got {list(sequence_by)}",
            origin=origin,
            hint="Name the column with the time of the change alone.",
        )
    return time_span("forget_deletes of cdc()", given, origin, "90 days")


def check_cdc(
    table: TableName, given: object, expectations: Sequence[Expectation], excluded: Sequence[str], origin: Origin
) -> Cdc | None:
    """Return the declared `cdc`, or None. Raises DeclarationError where it is none, or contradicts other options.

    `excluded`: the options that are given and cannot go with it.
    """
    if given is None:
        return None
    found = check_made(f"cdc of {table}", given, Cdc, _EXAMPLE, origin)
    if excluded:
        raise DeclarationError(
            f"cdc= and {excluded[0]}= of {table} exclude each other: its rows are told apart by the keys of cdc()",
            origin=origin,
            hint=f"Leave {excluded[0]} out, or make a second Silver of this one.",
        )
    own = {one.name for one in found.expectations}
    clash = next((one.name for one in expectations if one.name in own), None)
    if clash is not None:
        raise DeclarationError(
            f"expectation {clash!r} of {table} has the name under which cdc() counts changes without that column",
            origin=origin,
            hint="Leave it out if it says the same, or name it otherwise.",
        )
    return found


def _check_columns(columns: dict[str, tuple[str, ...]], origin: Origin) -> None:
    for option, names in columns.items():
        for name in names:
            check_column(f"{option} of cdc()", name, origin)
        check_named_once(f"{option} of cdc() names", names, origin)
        if not names and option != "track":
            raise DeclarationError(f"cdc() has no {option}", origin=origin, hint=f"Write {_EXAMPLE}.")
    keys = {name.lower() for name in columns["keys"]}
    for option in ("sequence_by", "track"):
        both = next((name for name in columns[option] if name.lower() in keys), None)
        if both is not None:
            raise DeclarationError(
                f"cdc() has {both!r} in keys and in {option}: it is the same in all changes of a key",
                origin=origin,
                hint=f"Leave it out of {option}.",
            )


def _check_condition(name: str, condition: object, origin: Origin) -> None:
    if condition is not None and (not isinstance(condition, str) or not condition.strip()):
        raise DeclarationError(
            f"{name} of cdc() must be SQL text; got {described(condition)}",
            origin=origin,
            hint="Write it on the output's columns: delete_when=\"op = 'd'\".",
        )
