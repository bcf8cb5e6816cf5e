"""The vector: the newest position that all upstreams of a tape can show; of different tapes the newest version."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Pipeline, TableName
from kappa_assets.kinds.joined.vector import Part, Upstream, Upstreams, Vector
from kappa_assets.log.note import CommitNote, InputRange, Offset, Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.kinds.joined.priced_shop import orders, people, pipeline
from kappa_assets_tests.written_logs import WrittenLake

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

A, B = TableName.parse("silver.sales"), TableName.parse("silver.refunds")
OTHER = TableName.parse("silver.customers")


class Logs(WrittenLake):
    """A lake of which only the logs are there."""

    def __init__(self, where: Path, of: Pipeline = pipeline) -> None:
        super().__init__(where, pipeline=of)

    def put(self, tape: TableName) -> None:
        version = self.version(tape) + 1
        batch = version - 1
        note = CommitNote(
            str(tape), 1, batch, "", tape_batch=batch, rows=1, position={str(tape): Position(batch, version)}
        )
        self.commit(tape, note, add={"2026-03-01": 1})

    def take(self, table: TableName, tape: TableName, upto: int, *, rows: int = 1) -> int:
        """Have a table read its tape up to and with a batch."""
        reads = {str(tape): InputRange(1, None, Offset(upto + 2, -1, False), upto + 1)}
        note = CommitNote(
            str(table), 1, 0, "logic", reads=reads, position={str(tape): Position(upto, upto + 1)}, rows=rows
        )
        return self.commit(table, note, add={"2026-03-01": rows} if rows else {})


def upstreams(lake: Lake, *sliced: tuple[TableName, bool]) -> Upstreams:
    tapes = tuple(Tape(lake, tape.name) for tape in (orders, people))
    return Upstreams(lake, tapes, tuple(Upstream(name, 1, lake.table(name, 1), cut) for name, cut in sliced))


STEPS = st.lists(st.integers(1, 3), min_size=1, max_size=5)


@given(steps=st.tuples(STEPS, STEPS), sliced=st.tuples(st.booleans(), st.booleans()), data=st.data())
def test_upstreams_of_one_tape_are_read_at_the_newest_position_that_all_can_show(
    steps: tuple[list[int], list[int]],
    sliced: tuple[bool, bool],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    logs = Logs(tmp_path_factory.mktemp("lake"))
    for _ in range(16):
        logs.put(orders.name)
    positions = {name: [n - 1 for n in accumulate(taken)] for name, taken in zip((A, B), steps, strict=True)}
    versions: dict[TableName, dict[int, int]] = {A: {}, B: {}}
    queue = [(name, upto) for name, found in positions.items() for upto in found]
    for name in data.draw(st.permutations([name for name, _ in queue])):
        upto = positions[name][len(versions[name])]
        versions[name][upto] = logs.take(name, orders.name, upto)
    cut = dict(zip((A, B), sliced, strict=True))
    shown = [{*range(-1, max(found) + 1)} if cut[name] else {*found} for name, found in positions.items()]
    common = max((batch for batch in shown[0] & shown[1] if batch >= 0), default=None)

    vector = upstreams(logs.lake, *cut.items()).newest()
    if common is None:
        assert vector is None
        return
    assert vector is not None
    assert vector.position == {str(orders.name): Position(common, common + 1)}
    for name, taken in versions.items():
        upto = max((version for batch, version in taken.items() if batch <= common), default=-1)
        newest = max(taken.values())
        expected = Part(1, newest, upto, common) if cut[name] else Part(1, taken[common], taken[common])
        assert vector.parts[str(name)] == expected
    assert Vector.from_json(vector.to_json()) == vector


def test_of_different_tapes_each_is_read_at_its_newest(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.put(orders.name)
    logs.put(people.name)
    logs.put(people.name)
    first, second = logs.take(A, orders.name, 0), logs.take(OTHER, people.name, 0)
    vector = upstreams(logs.lake, (A, True), (OTHER, True)).newest()
    assert vector is not None
    assert vector.parts == {str(A): Part(1, first, first), str(OTHER): Part(1, second, second)}
    assert vector.position == {str(orders.name): Position(0, 1), str(people.name): Position(0, 1)}


def test_an_upstream_that_is_not_written_yet_is_waited_for(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.put(orders.name)
    logs.take(A, orders.name, 0)
    both = upstreams(logs.lake, (A, True), (OTHER, True))
    assert both.newest() is None
    assert both.leaves_something(None)


def test_commits_without_rows_bring_no_more_and_what_is_ahead_is_left(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    for _ in range(3):
        logs.put(orders.name)
    both = upstreams(logs.lake, (A, False), (B, True))
    logs.take(A, orders.name, 0)
    logs.take(B, orders.name, 0)
    vector = both.newest()
    assert vector is not None
    taken = {name: part.range(None) for name, part in vector.parts.items()}
    assert both.brings_more(vector, {})
    assert not both.brings_more(vector, taken)
    assert not both.leaves_something(vector)
    logs.take(B, orders.name, 1)
    ahead = both.newest()
    assert ahead is not None
    assert not both.brings_more(ahead, taken)
    assert both.leaves_something(ahead)
    logs.take(A, orders.name, 1, rows=0)
    level = both.newest()
    assert level is not None
    assert both.brings_more(level, taken)
    assert not both.leaves_something(level)
