"""How a batch of changes is applied, in words for people."""

from __future__ import annotations

from kappa_assets.declare.tables import Silver
from kappa_assets.kinds.kind import Explanation
from kappa_assets.kinds.rewriting_query import IN_PROPORTION, MOST_GROUPS, ordered
from kappa_assets.logic.logic_check import Answer


def cdc_in_words(table: Silver, upstream: str, answer: Answer | None) -> Explanation:
    """Say how a batch of a table of changes is applied."""
    cdc = table.cdc
    assert cdc is not None  # noqa: S101 -- for mypy; a table of this kind has it
    keys, sequence = ", ".join(cdc.keys), ", ".join(cdc.sequence_by)
    kept = "the newest change of each key" if cdc.scd == 1 else "one change of each key and sequence"
    if cdc.snapshots:
        kept = "one row of each key and snapshot, since the newest whole one"
    seen = "the newest state of each key" if cdc.scd == 1 else "the versions of each key, from the sequence"
    aside = ", ".join(e.name for e in table.judged_by if e.on_fail in ("drop", "quarantine"))
    order = () if answer is None else ordered(cdc.keys, answer.rows.schema)
    whole = f"Up to {IN_PROPORTION >> 20} MB of state all of both is written anew with each batch"
    writes = f"{whole}; beyond, the files that may hold one of its keys, of up to {MOST_GROUPS:,} keys."
    if cdc.snapshots:
        writes = "All of both is written anew with each batch: a snapshot that becomes whole may delete any key."
    elif answer is not None and not order:
        writes = f"All of both is written anew with each batch: no bounds of files tell where values of {keys} are."
    return Explanation(
        f"The function is called with the rows of the batch, and gives changes. They are merged by {keys}, ordered by "
        f"{sequence}, into the state, which keeps {kept}; the table shows {seen}. Two commits, the state's first. "
        f"Rows that fail {aside} are set aside, in a commit before.",
        f"The rows of the batch, and no others of {upstream}. A state that is lost is built anew from all of it.",
        writes,
        keys,
        () if order or answer is None else ("Let the first key be a text, a whole number, a date or a time.",),
    )
