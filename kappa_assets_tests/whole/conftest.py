"""What whole-system tests share: a folder with staged retail files, and hosts that crash in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.copied_shop import SCRATCH, copy_shop
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole.scenes import Step, dump

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRUNCATED = "2026-01-20.csv.gz"


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
        return cls(root)._with_staged(make_files(root / "staged", seed, files=5, lines=lines))

    @classmethod
    def of_drained(cls, shop: Path, root: Path) -> Stage:
        """Copy a drained shop to the new folder `root`, and let two more files wait there."""
        copy_shop(shop, root)
        made = make_files(root / "made", 6, files=2, lines=40)
        (root / "staged").mkdir()
        waiting = [f.rename(root / "staged" / f"2026-01-1{n}{''.join(f.suffixes)}") for n, f in enumerate(made)]
        return cls(root)._with_staged(waiting)

    def copy(self, root: Path) -> Stage:
        """Copy all of it to the new folder `root`, where the lake goes on without reading a file twice."""
        return Stage(copy_shop(self.root, root))

    def _with_staged(self, files: Sequence[Path]) -> Stage:
        whole = next((f.read_bytes() for f in files if f.suffix == ".gz"), b"\x1f\x8b\x08\x00 no gzip at all")
        (self.root / "staged" / TRUNCATED).write_bytes(whole[: len(whole) // 2])
        return self

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
            command, stdout=said, stderr=subprocess.STDOUT, timeout=timeout, check=False, env=environment(root)
        )
    return Ended(done.returncode, log.read_text())


def environment(root: Path) -> Mapping[str, str]:
    """What a host's process of its own needs to find this checkout, and to leave its temporary files in `root`.

    A killed JVM removes none of them: Spark's folders of blocks and artifacts, and unpacked libraries.
    """
    project, scratch = Path(__file__).parents[2], root / SCRATCH
    scratch.mkdir(exist_ok=True)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TMPDIR": str(scratch),
        "JDK_JAVA_OPTIONS": f"{os.environ.get('JDK_JAVA_OPTIONS', '')} -Djava.io.tmpdir={scratch}",
    }
