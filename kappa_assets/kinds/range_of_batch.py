"""What a batch of a table with one upstream reads: a range of its commits that goes on where the table stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kappa_assets.faults import fault_point
from kappa_assets.kinds.query import TableQuery
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import CommitNote, InputRange, Position
from kappa_assets.log.positions import (
    check_repeated,
    check_tiles,
    holds_all_read,
    input_range,
    positions_of_version,
)
from kappa_assets.place.change import Write
from kappa_assets.place.port import OpenTable, StoredTable


def range_of_batch(
    query: TableQuery, number: int, write: Write, target: OpenTable, written: StoredTable, *, generation: int = 1
) -> tuple[InputRange, CommitNote | None] | None:
    """Return what a batch reads, and the newest note of the table; None where the batch is in the table already.

    `target`, `written`: the table, held open and as it is stored. `generation`: of its upstream. Raises as
    `check_repeated` does where another batch of this number is in, and as `check_tiles` does where it begins elsewhere.
    """
    fault_point("before_offsets", str(query.table))
    (upstream,) = query.upstreams
    since, until = query.checkpoint.delta_range(number)
    if target.is_in(write):
        check_repeated(str(query.table), written, upstream.name, number, (since, until))
        return None
    read = input_range(upstream, generation, since, until)
    found = last_note(written, at_most=target.version())
    before = None if found is None else found[1]
    check_tiles(str(query.table), None if before is None else before.reads.get(upstream.name), read)
    return read, before


def range_in_words(query: TableQuery, number: int) -> str:
    """Return which versions of its one upstream a batch reads, and which batches of the tapes came with them."""
    (upstream,) = query.upstreams
    since, until = query.checkpoint.delta_range(number)
    first, last = 0 if since is None else since.version, holds_all_read(until)
    known, reached = (positions_of_version(upstream, version) for version in (first - 1, last))
    versions = f"version {last}" if first >= last else f"versions {first} to {last}"
    return ", ".join([f"{versions} of {upstream.name}", *_new_batches(known, reached)])


def _new_batches(known: Mapping[str, Position], reached: Mapping[str, Position]) -> Iterator[str]:
    for tape, position in reached.items():
        first = known[tape].batch + 1 if tape in known else 0
        if first <= position.batch:
            yield f"_batch_id {first}{f' to {position.batch}' if first < position.batch else ''} of {tape}"
