"""Crashes in a row on one lake: every process goes on where the one before it was killed, and is killed elsewhere.

A chain proves what single scenes prove, for less: a loss or a double that any of its crashes left shows at its end, and
each start but the first has a crash to recover from. Single scenes, in any order, are `make chaos`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as _wait
from dataclasses import dataclass
from pathlib import Path

from kappa_assets_tests.whole.conftest import Ended, Stage, run_scene
from kappa_assets_tests.whole.scenes import Crash, Step


@dataclass(frozen=True)
class Links:
    """A chain under way: its stage, and by the name of each link how it ended and the stage as it was then."""

    stage: Stage
    died: Mapping[str, tuple[Ended, Stage]]


def walk_chain(stage: Stage, links: Mapping[str, Sequence[Step]], copies: Path) -> Links:
    """Walk all links, and keep a copy of the stage after each. Raises AssertionError where one did not die as told."""
    died = {}
    for number, (name, steps) in enumerate(links.items()):
        ended = run_scene(stage.root, steps)
        assert_died(name, steps, ended)
        died[name] = ended, stage.copy(copies / str(number))
    return Links(stage, died)


def walk_watched(stage: Stage, links: Mapping[str, Sequence[Step]], look: Callable[[], None]) -> None:
    """Walk all links, and `look` again and again meanwhile. Raises AssertionError where one did not die as told."""
    with ThreadPoolExecutor(1) as pool:
        for name, steps in links.items():
            running: Future[Ended] = pool.submit(run_scene, stage.root, steps)
            while not _wait([running], timeout=1).done:
                look()
            assert_died(name, steps, running.result())
            look()


def assert_died(name: str, steps: Sequence[Step], ended: Ended) -> None:
    """Assert that a scene died of its crash, at its point, in its way."""
    crash = next(step for step in steps if isinstance(step, Crash))
    assert f"killed {crash}" in ended.said, f"{name}: {ended.said[-3000:]}"
    # Without its JVM the driver ends by itself, with an error, instead of waiting for one that is gone.
    expected = 1 if crash.mode == "jvm" else -signal.SIGKILL
    assert ended.code == expected, f"{name}: {ended.said[-3000:]}"
