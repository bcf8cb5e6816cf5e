"""A look into a landing folder in which many files lie that are on the tape."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans
from kappa_assets.sources.ledger.ledger import Delivery, Ledger
from kappa_assets.sources.ledger.planner import Planner
from kappa_assets_tests.benchmarks.rounds import Result, say


def looks(root: Path, *, files: int) -> list[Result]:
    """Time the first look of a host, one at all files, one when a file has landed, and one when nothing has."""
    folder = root / "looked-at"
    folder.mkdir()
    say(f"landing: {files} files")
    ledger = Ledger(root / "looks.sqlite", root / "no-tape", root / "no-rejects")
    ledger.sync()
    read = []
    for number in range(files):
        path = folder / f"{number:06}.csv"
        path.write_text("id\n1\n")
        stat = path.stat()
        read.append(Delivery(path.name, stat.st_size, stat.st_mtime_ns // 1_000_000, "0" * 32))
    ledger.note(read)
    long_ago = time.time() - 60
    os.utime(folder, (long_ago, long_ago))
    clock = [0.0]
    plans = DeliveryPlans(Checkpoint(root / "looks"))
    planner = Planner("looks", folder, ledger, plans, most=1_000, overwritten="read", clock=lambda: clock[0])
    found = [_timed(f"the first look of a host at {files:,} landed files", planner.begin, "<= 2 s")]
    clock[0] = 1e6
    found.append(_timed("a look at all of them", planner.look, "<= 1 s"))
    clock[0] += 0.4
    found.append(_timed("a look when nothing has landed", planner.look, "<= 0.01 s"))
    (folder / "new.csv").write_text("id\n1\n")
    clock[0] += 0.4
    found.append(_timed("a look when a file has landed", planner.look, "<= 0.3 s"))
    assert [path.name for path in plans.folder.glob("*.json")] == ["0.json"]
    return found


def _timed(what: str, look: Callable[[], None], target: str) -> Result:
    began = time.perf_counter()
    look()
    return Result(what, f"{time.perf_counter() - began:.3f} s", "", None, target)
