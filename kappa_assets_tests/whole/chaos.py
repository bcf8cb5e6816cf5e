"""`make chaos`: hosts killed at random points in a loop, each lake then run to its end and checked.

    python -m kappa_assets_tests.whole.chaos --rounds 20 --seed 7

First come troubles that are no kill, the listed scenes, each a crash on a new lake, and rounds of fixed seeds; then
rounds of new seeds. Every round is one lake: files land, a host dies, and again, until all files have landed. What
fails leaves its lake and tells its name or seed; `--rounds 1 --seed <that>` walks the scenes of one round again, and
nothing else.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets.faults import Point
from kappa_assets.host.session import build_session
from kappa_assets_tests.whole.chain import assert_died
from kappa_assets_tests.whole.conftest import Stage, run_scene
from kappa_assets_tests.whole.crashing_host import SMALL
from kappa_assets_tests.whole.listed_scenes import SCENES, named
from kappa_assets_tests.whole.scenes import MODES, Crash, Drain, Land, Repair, Replay, Step
from kappa_assets_tests.whole.troubles import TROUBLES
from kappa_assets_tests.whole.verify import verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_FIXED = (7, 11, 2026)
"""Seeds of rounds that are walked each time."""
_BATCHES: tuple[Point, ...] = ("before_offsets", "after_rejects", "after_commit")
_TABLES = ("bronze.invoices", "silver.sales", "gold.customer_value", "gold.daily_revenue", "gold.top_products")


def scenes(dice: random.Random, files: Sequence[str]) -> list[list[Step]]:
    """Return the scenes of one round: each begins with some files landing and may end in a crash; the last cannot."""
    waiting, found = list(files), list[list[Step]]()
    while waiting:
        landing = [waiting.pop(0) for _ in range(min(len(waiting), dice.randint(1, 2)))]
        work: list[Step] = [_crash(dice), Drain()]
        kind = dice.random()
        if kind < 0.25:
            work = [Drain(), _replay_crash(dice) if dice.random() < 0.5 else _crash(dice), Replay()]
        elif kind < 0.4:
            point: Point = dice.choice(("slice_written", "slice_repaired"))
            work = [Drain(), Crash(point, "silver.sales", dice.choice(MODES), dice.randint(1, 2)), Repair()]
        found.append([Land(tuple(landing)), *work])
    return [*found, [Drain(), Repair(), Drain()]]  # a repair that died had deleted rows first


def _crash(dice: random.Random) -> Crash:
    mode, nth = dice.choice(MODES), dice.randint(1, 2)
    kind = dice.random()
    if kind < 0.7:
        return Crash(dice.choice(_BATCHES), dice.choice(_TABLES), mode, nth)
    if kind < 0.85:
        return Crash("between_tables", dice.choice(_TABLES), mode)
    return Crash("registry_change", dice.choice(("registry", "links")), mode, nth)


def _replay_crash(dice: random.Random) -> Crash:
    points: Sequence[tuple[Point, str]] = [("comparing", "registry"), *(("building", t) for t in _TABLES[1:])]
    point, what = dice.choice(points)
    return Crash(point, what, dice.choice(MODES))


def one_round(root: Path, seed: int) -> str:
    """Walk one round, check the lake, and return what happened. Raises AssertionError."""
    dice = random.Random(seed)
    stage = Stage.make(root, seed)
    died = 0
    for steps in scenes(dice, stage.staged):
        print("  ", *steps, flush=True)
        ended = run_scene(stage.root, steps)
        crashed = "killed Crash" in ended.said
        died += crashed
        assert crashed or ended.code in (0, 3), ended.said[-3000:]
    verify(stage.lake, stage.landed)
    return f"{died} crashes, {len(stage.landed)} files"


def one_scene(root: Path, number: int, steps: Sequence[Step]) -> str:
    """Walk a listed scene on a new lake, run that to its end with another file, and check it. Raises AssertionError."""
    stage = Stage.make(root, number)
    scene = named(steps, stage.staged)
    assert_died(f"scene {number}", scene, run_scene(stage.root, scene))
    ended = run_scene(stage.root, [Land(tuple(stage.staged[:1])), Drain()])
    assert ended.code == 0, ended.said[-3000:]
    verify(stage.lake, stage.landed)
    return f"{len(stage.landed)} files"


def one_trouble(root: Path, trouble: Callable[[Path, SparkSession], None]) -> str:
    """Walk a trouble in this process, on the one Spark session of all troubles. Raises AssertionError."""
    trouble(root, build_session("chaos", cores=2, memory="1g", extra=SMALL))
    return "no kill"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of new seeds, or from --seed on")
    parser.add_argument("--seed", type=int, default=None, help="of the first round; the next ones count on")
    parser.add_argument("--only", default="", help="part of the names of what is walked")
    options = parser.parse_args(arguments)
    first = int(time.time()) % 1_000_000 if options.seed is None else options.seed
    seeds = [*(_FIXED if options.seed is None else ()), *range(first, first + options.rounds)]
    walks = [(f"seed {seed}", partial(one_round, seed=seed)) for seed in seeds]
    if options.seed is None:
        walks = [(name, partial(one_trouble, trouble=trouble)) for name, trouble in TROUBLES.items()] + walks
        listed = enumerate(SCENES.items())
        walks = [(name, partial(one_scene, number=n, steps=steps)) for n, (name, steps) in listed] + walks
    walks = [(name, walk) for name, walk in walks if options.only in name]
    for number, (name, walk) in enumerate(walks, 1):
        root = Path(tempfile.mkdtemp(prefix="kappa-chaos-")) / "stage"
        print(f"{number} of {len(walks)}: {name}", flush=True)
        try:
            print(f"   {walk(root)}: nothing lost, nothing doubled", flush=True)
        except AssertionError as error:
            print(f"FAILED: {name}; the lake is in {root}\n{error}", flush=True)
            return 1
        shutil.rmtree(root.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
