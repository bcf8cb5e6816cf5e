"""What whole-system tests share: a folder with staged retail files, and hosts that crash in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.lake import Lake
from kappa_assets.streams.query import Setting
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole.scenes import Crash, Drain, Land, Step, dump

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRUNCATED = "2026-01-20.csv.gz"
_AT_ONCE = 4
"""Hosts that run side by side, each with two Spark threads."""


@dataclass(frozen=True)
class Ended:
    """How a host process ended, and all it said."""

    code: int
    said: str


@dataclass(frozen=True)
class Stage:
    """A folder with a lake, a landing folder, and files that wait to land: five good ones, one truncated."""

    root: Path

    @classmethod
    def make(cls, root: Path, seed: int, lines: int = 40) -> Stage:
        (root / "landing" / "invoices").mkdir(parents=True)
        files = make_files(root / "staged", seed, files=5, lines=lines)
        whole = next((f.read_bytes() for f in files if f.suffix == ".gz"), b"\x1f\x8b\x08\x00 no gzip at all")
        (root / "staged" / TRUNCATED).write_bytes(whole[: len(whole) // 2])
        return cls(root)

    @property
    def lake(self) -> Lake:
        return Lake.at(self.root / "lake")

    @property
    def landed(self) -> list[Path]:
        """All files that came in, those that were moved since too."""
        return sorted(p for p in (self.root / "landing" / "invoices").rglob("*") if p.is_file())

    @property
    def staged(self) -> list[str]:
        """The names of the good files that have not landed, in order."""
        return sorted(f.name for f in (self.root / "staged").iterdir() if f.name != TRUNCATED)

    def setting(self, spark: SparkSession) -> Setting:
        return Setting(spark, self.lake, self.root / "landing")


def run_scene(root: Path, steps: Sequence[Step], *, timeout: float = 900) -> Ended:
    """Walk a scene in a process of its own, and return how it ended."""
    scene = dump(steps, root / "scene.json")
    command = [sys.executable, "-m", "kappa_assets_tests.whole.crashing_host", str(root), str(scene)]
    log = root / "said.txt"
    with log.open("w") as said:
        done = subprocess.run(
            command, stdout=said, stderr=subprocess.STDOUT, timeout=timeout, check=False, env=environment()
        )
    return Ended(done.returncode, log.read_text())


def environment() -> Mapping[str, str]:
    project = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture(scope="module")
def side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Walks several scenes at once; each test waits for its own."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


Running = Mapping[str, tuple[Stage, "Future[Ended]"]]


def walk_crashes(
    request: pytest.FixtureRequest,
    folders: pytest.TempPathFactory,
    pool: ThreadPoolExecutor,
    crashes: Mapping[str, Crash],
    work: Step,
    seed: int,
) -> Running:
    """Walk the crashes of the tests that were asked for, side by side: `work` on a lake drained of three files."""
    chosen = {str(item.callspec.params.get("name")) for item in request.session.items if hasattr(item, "callspec")}
    found = {}
    for number, (name, crash) in enumerate(crashes.items(), seed):
        if name in chosen:
            stage = Stage.make(folders.mktemp("crash"), number)
            steps: Sequence[Step] = [Land(tuple(stage.staged[:3])), Drain(), crash, work]
            found[name] = stage, pool.submit(run_scene, stage.root, steps)
    return found
