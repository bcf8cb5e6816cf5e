"""Fences: who has lost a lease is refused in the table itself, wherever it slept; and epochs only grow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.types import LongType, StructField, StructType

from kappa_assets import Layer, TableName
from kappa_assets.errors import CommitOvertaken, Fenced
from kappa_assets.place.change import Fence, Write
from kappa_assets.place.local.delta_write import delta_writer
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.epochs import next_epoch
from kappa_assets.place.local.leases.lease import HOST, Lease, lease
from kappa_assets.place.local.local_table import LocalTable

SALES = TableName(Layer.SILVER, "sales")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake.at(tmp_path / "lake")
    writer_of(lake).prepare(StructType([StructField("n", LongType())]))
    return lake


def writer_of(lake: Lake) -> DeltaWriter:
    return DeltaWriter(str(SALES), lake.folder(SALES))


def write(number: int) -> Write:
    return Write(str(SALES), 1, "main", number)


def a_file(lake: Lake, number: int) -> WrittenFiles:
    path = f"{number}-{os.urandom(4).hex()}.parquet"
    pq.write_table(pa.table({"n": [number]}), lake.folder(SALES) / path)
    return describe_files(lake.folder(SALES), [path], ())


def commit(lake: Lake, number: int, fence: Fence, writer: DeltaWriter | None = None) -> int | None:
    """Commit one row under a fence, as a query does."""
    target = write(number)
    once = Once(target.app, number, *target.fence(fence))
    return (writer or writer_of(lake)).commit(a_file(lake, number), once, "{}")


def numbers(lake: Lake) -> list[int]:
    return sorted(DeltaTable(lake.folder(SALES)).to_pyarrow_table().column("n").to_pylist())


def taken(lake: Lake) -> Lease:
    with lease(lake, HOST, "test") as held:
        return held


def take_over(lake: Lake, fence: Fence) -> None:
    LocalTable(writer_of(lake)).take_over(write(0), fence)


def test_a_lease_taken_from_one_that_did_not_let_go_raises_its_fence_and_one_that_was_given_back_does_not(
    lake: Lake,
) -> None:
    with pytest.raises(ZeroDivisionError), lease(lake, HOST, "dies"):
        raise ZeroDivisionError
    with lease(lake, HOST, "after a death") as second:
        assert second.fence.raises
        before = writer_of(lake).version()
        take_over(lake, second.fence)
        assert writer_of(lake).version() == before + 1
        take_over(lake, second.fence)
        assert writer_of(lake).version() == before + 1, "one commit for each lease, however often a query starts"
    third = taken(lake).fence
    assert not third.raises
    take_over(lake, third)
    assert writer_of(lake).version() == before + 1
    assert third.epoch > second.fence.epoch


def test_whoever_lost_a_lease_is_refused_before_the_new_holder_has_written_anything(lake: Lake) -> None:
    old = taken(lake).fence
    commit(lake, 0, old)
    HOST.lock(lake).unlink()  # a person's hand
    new = taken(lake).fence
    take_over(lake, new)
    with pytest.raises(Fenced, match=rf"has seen epoch {new.epoch}, this process writes with {old.epoch}"):
        commit(lake, 1, old)
    assert numbers(lake) == [0]
    assert commit(lake, 1, new) is not None
    with pytest.raises(Fenced):
        commit(lake, 2, old)
    assert numbers(lake) == [0, 1]


@pytest.mark.parametrize("meanwhile", ["the fence", "its first batch"])
def test_one_that_sleeps_between_its_look_at_the_fence_and_its_commit_is_overtaken(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    old, new = taken(lake).fence, Fence("stream", next_epoch(lake), raises=True)
    awake: list[Callable[[], object]] = [
        lambda: take_over(lake, new) if meanwhile == "the fence" else commit(lake, 7, new)
    ]

    def sleep(point: str, _: str) -> None:
        if point == "fence_seen" and awake:
            # The turn is the sleeper's. Who takes its file away, as its lock's, is not kept from anything.
            (lake.folder(SALES).parent / ".g0001.lock").unlink()
            awake.pop()()

    monkeypatch.setattr(delta_writer, "fault_point", sleep)
    writer = writer_of(lake)
    with pytest.raises(CommitOvertaken):
        commit(lake, 7, old, writer)
    assert numbers(lake) == ([] if meanwhile == "the fence" else [7])
    with pytest.raises(Fenced):
        commit(lake, 7, old, writer)


@given(st.lists(st.sampled_from(["take", "write", "write as the one before", "lose the counter"]), max_size=12))
def test_no_order_of_leases_and_losses_lets_an_older_epoch_in(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    lake = Lake.at(tmp_path_factory.mktemp("lakes"))
    writer_of(lake).prepare(StructType([StructField("n", LongType())]))
    held, before, wrote = taken(lake).fence, Fence("stream", 0), list[int]()
    for number, step in enumerate(steps):
        match step:
            case "take":
                before, held = held, Fence("stream", next_epoch(lake), raises=True)
                take_over(lake, held)
                assert held.epoch > before.epoch
            case "lose the counter":
                (lake.system / "epoch").unlink(missing_ok=True)
                take_over(lake, Fence("stream", held.epoch, raises=True))
            case "write":
                assert commit(lake, number, held) is not None
                wrote.append(number)
            case _ if writer_of(lake).is_committed(write(0).fence(held)[0], before.epoch + 1):
                with pytest.raises(Fenced):
                    commit(lake, number, before)
    assert numbers(lake) == wrote
