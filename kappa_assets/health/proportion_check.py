"""The check of what a table's batches read: in proportion to what landed, or all of a large table for a few rows."""

from __future__ import annotations

from collections.abc import Sequence

from kappa_assets.declare.tables import Derived, Gold, Silver
from kappa_assets.health.log_findings import LogFindings
from kappa_assets.health.outcome import PROPORTION, CheckOutcome
from kappa_assets.log.note import CommitNote
from kappa_assets.place.change import Scan

MOST_FOR_ONE = 100
"""Rows read for one that landed, up to which nothing is said."""
FEW = 1_000_000
"""Rows read by a batch, on average, up to which nothing is said: a small table is read whole for next to nothing."""


def reads_in_proportion(table: Derived, log: LogFindings | None) -> CheckOutcome:
    """Passes while its newest batches read little, or no more than a hundred rows for each that landed.

    A batch that builds the table reads all there is, as it must, and does not count.
    """
    notes = [note for note in log.lately if _follows(note)] if log else []
    scans = [(note.scanned, note.scanned.rows, note.landed) for note in notes if note.scanned is not None]
    told = [(scan, rows, came) for scan, rows, came in scans if rows is not None and came is not None]
    if not told:
        return CheckOutcome(table.name, PROPORTION, True, "warn", _nothing_noted(notes))
    rows, came = sum(rows for _, rows, _ in told), sum(came for _, _, came in told)
    passed = rows <= MOST_FOR_ONE * came or rows <= FEW * len(told)
    opened = sum((scan for scan, _, _ in told), Scan())
    batches = "batch" if len(told) == 1 else f"{len(told)} batches"
    size = f"{opened.files:,} files, {opened.bytes / 1e6:,.1f} MB"
    summary = f"Its last {batches} read {rows:,} rows ({size}) for {came:,} that landed."
    if not passed:
        summary = f"{summary} {' '.join(_cheaper(table))}"
    facts = {
        "batches": len(told),
        "rows_read": rows,
        "rows_landed": came,
        "rows_read_for_one": round(rows / came, 1) if came else None,
        "bytes_read": opened.bytes,
        "files_opened": opened.files,
    }
    return CheckOutcome(table.name, PROPORTION, passed, "warn", summary, facts)


def _follows(note: CommitNote) -> bool:
    """Return whether a batch goes on where one before it ended, in each of its upstreams."""
    return all(read.since is not None for read in note.reads.values())


def _nothing_noted(notes: Sequence[CommitNote]) -> str:
    if not any(note.scanned for note in notes):
        return "Nothing was noted of rows read beyond those that landed."
    return "Nothing was noted of how many rows were read, and how many landed: the log does not tell one of both."


def _cheaper(table: Derived) -> list[str]:
    """Return what would have its batches read less, as far as the declaration tells."""
    found = []
    keys = table.keys if isinstance(table, Gold | Silver) else ()
    if not keys and not table.groups_of:
        found.append("Give it keys, if its rows belong to groups: only those that a batch touches are then recomputed.")
    elif table.keep_inputs:
        found.append(
            "Its inputs are kept in the order of its groups: those that come in order, such as days or slices, lie in "
            "few files, and those that come at random in as many as there are."
        )
    elif not (isinstance(table, Gold) and table.combine):
        found.append(
            "Say keep_inputs=True where a batch touches few groups: it then reads the files that may hold one. Or "
            "group by what comes in order, such as days or slices, and combine what adds up."
        )
    if table.every is None:
        found.append("Say every=, such as '10 minutes', if it need not follow each batch.")
    return [*found, f"`kappa explain {table.name}` says what a batch of it reads."]
