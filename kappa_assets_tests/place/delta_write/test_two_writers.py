"""Two threads write one table at once, each with a writer of its own, as two hosts would: each batch once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, describe_files
from kappa_assets_tests.log.test_tape_threads import together
from kappa_assets_tests.maintenance.hand_lake import DAY, MONDAY, HandLake, write_file
from kappa_assets_tests.written_logs import VISITS

BATCHES = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Silver table with two files."""
    hand = HandLake(tmp_path / "lake")
    for _ in range(2):
        hand.land(MONDAY)
        hand.read()
    return hand.folder(VISITS)


def files_of(folder: Path, batch: int) -> WrittenFiles:
    return describe_files(folder, [write_file(folder, MONDAY, batch, 3)], (DAY,))


def rows_by_batch(folder: Path) -> Counter[int]:
    return Counter(DeltaTable(folder).to_pyarrow_table().column("_batch_id").to_pylist())


@pytest.mark.parametrize("replace", [False, True], ids=["append", "replace"])
def test_the_same_batches_go_in_once_each(folder: Path, replace: bool) -> None:  # noqa: FBT001
    before = rows_by_batch(folder)
    went_in: list[int] = []

    def write() -> None:
        writer = DeltaWriter("silver.visits", folder, partition_by=(DAY,))
        for number in range(BATCHES):
            batch = 100 + number
            if writer.commit(files_of(folder, batch), Once("app", number), "{}", replace=replace) is not None:
                went_in.append(number)

    together(write, write)
    assert sorted(went_in) == list(range(BATCHES))
    wanted = Counter({100 + number: 3 for number in range(BATCHES)})
    assert rows_by_batch(folder) == (Counter({100 + BATCHES - 1: 3}) if replace else before + wanted)


def test_of_two_that_exchange_the_same_files_one_is_told_to_compute_again(folder: Path) -> None:
    old = [str(path) for path in DeltaTable(folder).get_add_actions().column("path").to_pylist()]
    answers: list[int | None] = []

    def exchange(name: str) -> None:
        writer = DeltaWriter("silver.visits", folder, partition_by=(DAY,))
        answers.append(writer.exchange(old, files_of(folder, 7), Once(name, 0), lambda: "{}"))

    together(*(partial(exchange, name) for name in "abc"))
    assert [answer for answer in answers if answer is not None] == [DeltaTable(folder).version()]
    assert rows_by_batch(folder) == Counter({7: 3})


def test_an_exchange_beside_a_stream_takes_away_none_of_its_rows(folder: Path) -> None:
    old = [str(path) for path in DeltaTable(folder).get_add_actions().column("path").to_pylist()]

    def stream() -> None:
        writer = DeltaWriter("silver.visits", folder, partition_by=(DAY,))
        for number in range(BATCHES):
            writer.commit(files_of(folder, 100 + number), Once("app", number), "{}")

    def repair() -> None:
        writer = DeltaWriter("silver.visits", folder, partition_by=(DAY,))
        assert writer.exchange(old, files_of(folder, 7), Once("exchange", 0), lambda: "{}") is not None

    together(stream, repair)
    assert rows_by_batch(folder) == Counter({7: 3} | {100 + number: 3 for number in range(BATCHES)})


def test_a_note_that_refuses_leaves_the_table_as_it_is(folder: Path) -> None:
    writer, before = DeltaWriter("silver.visits", folder, partition_by=(DAY,)), rows_by_batch(folder)

    def refuse() -> str:
        raise LookupError("not live any more")

    attempts: list[Callable[[], object]] = [
        lambda: writer.commit(files_of(folder, 7), Once("app", 0), refuse),
        lambda: writer.exchange([], files_of(folder, 7), Once("exchange", 0), refuse),
        lambda: writer.exchange([], NOTHING, Once("exchange", 0), refuse),
    ]
    for attempt in attempts:
        with pytest.raises(LookupError):
            attempt()
    assert rows_by_batch(folder) == before
