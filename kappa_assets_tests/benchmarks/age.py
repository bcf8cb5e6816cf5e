"""Age: what a batch costs, in time and in Python's memory, on a lake of 20,000 commits against one of 1,000."""

from __future__ import annotations

import statistics
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from kappa_assets.health import run_checks
from kappa_assets_tests.benchmarks.old_log import make_old
from kappa_assets_tests.benchmarks.rounds import Result, say
from kappa_assets_tests.benchmarks.upkeep import PATH, AgingLake

_REAL = 20
"""Commits that the product makes itself, before the others are written by hand."""
_TARGET = "<= 1.2"


@dataclass
class OldLake(AgingLake):
    """A lake that is made old in seconds, and that the product's own checks find nothing wrong with."""

    def make_old(self, commits: int) -> None:
        """Bring the lake to so many commits on its tape."""
        self.age(_REAL, upkeep=False)
        self.made = commits - _REAL
        make_old(self.lake, PATH, self.made)
        self.maintain()
        found = [c for c in run_checks(self.lake, PATH) if c.check != "stream_healthy"]  # no host is on it now
        wrong = [f"{c.table} {c.check}: {c.summary}" for c in found if not c.passed]
        if wrong:
            raise AssertionError(f"the lake that was made old is not sound: {wrong}")

    def peak(self, files: int) -> int:
        """Return the most bytes that Python's objects took while files went through, more than before."""
        tracemalloc.start()
        try:
            self.measure(files, warm_up=1)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def age(spark: SparkSession, root: Path, *, commits: int, files: int, rounds: int) -> list[Result]:
    """Return a batch of each table, and landed -> Gold, on a lake of `commits` commits / on one of a twentieth."""
    young, old = OldLake(spark, root / "age" / "young", 3), OldLake(spark, root / "age" / "old", 4)
    fewer = max(commits // 20, 2 * _REAL)
    say(f"age: {commits} commits against {fewer}")
    young.make_old(fewer)
    old.make_old(commits)
    now, then = dict[str, list[float]](), dict[str, list[float]]()
    for number in range(rounds):
        for lake, seconds in ((old, now), (young, then)):
            for what, found in lake.measure(files, warm_up=5).items():
                seconds.setdefault(what, []).extend(found)
        say(f"  round {number + 1} of {rounds}")
    much, little = old.peak(3), young.peak(3)
    for lake in (old, young):
        lake.check()
    name = f"on a lake of {commits} commits / of {fewer}"
    memory = Result(f"Python's memory for 3 files {name}", _mb(much), _mb(little), much / little, _TARGET)
    return [*(_result(f"{what} {name}", now[what], then[what]) for what in now), memory]


def _result(what: str, now: list[float], then: list[float]) -> Result:
    a, b = statistics.median(now), statistics.median(then)
    return Result(what, f"{a * 1000:.0f} ms", f"{b * 1000:.0f} ms", a / b, _TARGET)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
