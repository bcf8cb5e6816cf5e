"""A batch of a few keys on a Gold of many, against the same on one of few: it writes what it touches, not the table."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets_tests.benchmarks.rounds import Result, say
from kappa_assets_tests.kinds.gold_scene import GOLDS, Follower, Scene, scene_at

_TOUCHED = 50
"""Random keys of a batch."""
_BATCHES = 20
_WARM_UP = 6


@dataclass(frozen=True)
class _Size:
    """How many keys there are, with how many rows each, in how many files of the Silver."""

    keys: int
    rows: int = 1
    files: int = 1


def large_gold(spark: SparkSession, root: Path, *, keys: int, few: int) -> list[Result]:
    """Seconds a batch of 50 random keys on Golds of `keys` and of `few` keys, and bytes that one writes.

    Of one that is merged, and of one whose groups are recomputed from ten rows each that it keeps. All are checked
    against what was landed, added up in plain Python.
    """
    merged = _side_by_side(spark, root / "merged", "combined", _Size(keys), _Size(few))
    return merged + _side_by_side(spark, root / "kept", "kept", _Size(keys, 10, 400), _Size(few, 10, 40))


def _side_by_side(spark: SparkSession, root: Path, kind: str, many: _Size, few: _Size) -> list[Result]:
    small, large = (_measured(spark, root / str(size.keys), kind, size) for size in (few, many))
    called = {"combined": "merged Golds", "kept": "Golds that keep their inputs"}[kind]
    rows = "" if many.rows == 1 else f", {many.rows} rows each,"
    what = f"a batch of {_TOUCHED} random keys on {called} of {many.keys:,} keys{rows} / of {few.keys:,}"
    times = Result(what, f"{large[0]:.2f} s", f"{small[0]:.2f} s", large[0] / small[0], "<= 3")
    written = f"{large[1] / 1e6:.2f} MB", f"{small[1] / 1e6:.2f} MB"
    return [times, Result(f"bytes written by it, of {large[2] / 1e6:.0f} MB", *written, None, "<= 4 MB")]


def _measured(spark: SparkSession, root: Path, kind: str, size: _Size) -> tuple[float, float, int]:
    """Return the median seconds of a batch, the median bytes that it writes, and the bytes of the table."""
    scene, keys = scene_at(spark, root), size.keys
    follower = Follower(scene, GOLDS[kind])
    dice = random.Random(7)
    units = dict.fromkeys(range(keys), size.rows)
    say(f"large Gold, {kind}: {keys:,} keys")
    a_file = keys * size.rows // size.files
    for number in range(size.files):
        _land(scene, [row % keys for row in range(number * a_file, (number + 1) * a_file)])
    follower.drain()
    for _ in range(_WARM_UP + _BATCHES):
        touched = [dice.randrange(keys) for _ in range(_TOUCHED)]
        for key in touched:
            units[key] += 1
        _land(scene, touched)
    follower.drain(files=1)
    found = list(commits(follower.folder))[-_BATCHES:]
    took = [(after.at - before.at).total_seconds() for before, after in pairwise(found)]
    held = follower.rows()
    expected = sum(units.values()), len(units)
    got = sum(row[1] for row in held.elements()), held.total()
    if got != expected or max(units.values()) != max(row[1] for row in held):
        raise AssertionError(f"the Gold of {keys} keys holds {got}, not {expected}: its times mean nothing")
    held_bytes = scene.setting.lake.table(follower.gold.name).open().size()
    return statistics.median(took), statistics.median(commit.bytes for commit in found), held_bytes


def _land(scene: Scene, keys: list[int]) -> None:
    """Commit one file of Silver, with one unit of each key."""
    path = f"data/{scene.batches}/{ARRIVAL_DATE}=2026-01-05/part-0.parquet"
    count = len(keys)
    rows = pa.table(
        {
            "_batch_id": pa.array([scene.batches] * count, pa.int64()),
            "_row": pa.array(range(count), pa.int64()),
            "_arrived_at": pa.array([0] * count, pa.timestamp("us", tz="UTC")),
            "shop": [f"{key * 7919 % 10_000_019:08}" for key in keys],
            "units": pa.array([1] * count, pa.int64()),
            "till.no": pa.nulls(count, pa.string()),
        }
    )
    (scene.folder / path).parent.mkdir(parents=True)
    pq.write_table(rows, scene.folder / path)
    scene.commit(describe_files(scene.folder, [path], (ARRIVAL_DATE,)))
