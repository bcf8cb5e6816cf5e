"""A checkpoint's offset log, and what a kill leaves in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kappa_assets.errors import LakeError
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.note import Offset


def offset_file(version: int, index: int = -1, *, starting: bool = False) -> str:
    """An offset log entry as Spark writes it for a Delta source."""
    source = {
        "sourceVersion": 1,
        "reservoirId": "id",
        "reservoirVersion": version,
        "index": index,
        "isStartingVersion": starting,
    }
    return "\n".join(["v1", json.dumps({"batchWatermarkMs": 0}), json.dumps(source)])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    for log in ("offsets", "commits", "sources/0"):
        (tmp_path / log).mkdir(parents=True)
    return Checkpoint(tmp_path)


def test_the_range_of_a_batch_is_from_the_offsets_before_it_to_its_own(checkpoint: Checkpoint) -> None:
    (checkpoint.path / "offsets" / "0").write_text(offset_file(3, 7, starting=True))
    (checkpoint.path / "offsets" / "1").write_text(offset_file(9))
    assert checkpoint.delta_range(0) == (None, Offset(3, 7, True))
    assert checkpoint.delta_range(1) == (Offset(3, 7, True), Offset(9, -1, False))


def test_the_newest_offset_is_that_of_a_delta_source_and_of_another_there_is_none(checkpoint: Checkpoint) -> None:
    assert checkpoint.newest_offset() is None
    (checkpoint.path / "offsets" / "0").write_text(offset_file(3, 7, starting=True))
    assert checkpoint.newest_offset() == Offset(3, 7, True)
    # A table of several upstreams that has planned its first vector, and whose host died before its commit.
    (checkpoint.path / "offsets" / "1").write_text('v1\n{}\n{"logOffset":0}')
    assert checkpoint.newest_offset() is None


def test_a_batch_without_offsets_is_an_error(checkpoint: Checkpoint) -> None:
    with pytest.raises(LakeError, match="has no offsets of batch 0"):
        checkpoint.delta_range(0)


def test_temporary_files_of_a_kill_are_removed_and_nothing_else(checkpoint: Checkpoint) -> None:
    kept = ["offsets/0", "offsets/.0.crc", "commits/0", "commits/.0.crc", "sources/0/0", "metadata"]
    leftovers = ["offsets/.1.6f1e.tmp", "offsets/..1.6f1e.tmp.crc", "commits/.1.77.tmp", "sources/0/.1.88.tmp"]
    for name in kept + leftovers:
        (checkpoint.path / name).write_text("v1\n{}")
    removed = checkpoint.clean_leftovers()
    assert sorted(removed) == sorted(leftovers)
    assert sorted(str(p.relative_to(checkpoint.path)) for p in checkpoint.path.rglob("*") if p.is_file()) == sorted(
        kept
    )
    assert checkpoint.clean_leftovers() == []


def test_an_empty_newest_entry_says_nothing_and_is_removed_with_its_checksum(checkpoint: Checkpoint) -> None:
    for name in ("9", "10", ".10.crc"):
        (checkpoint.path / "offsets" / name).write_text("" if name == "10" else "v1")
    checkpoint.clean_leftovers()
    assert sorted(p.name for p in (checkpoint.path / "offsets").iterdir()) == ["9"]


def test_an_empty_older_entry_is_left_for_spark_to_refuse(checkpoint: Checkpoint) -> None:
    (checkpoint.path / "offsets" / "9").write_text("")
    (checkpoint.path / "offsets" / "10").write_text("v1")
    assert checkpoint.clean_leftovers() == []


def test_a_checkpoint_that_does_not_exist_is_clean(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "new").clean_leftovers() == []
