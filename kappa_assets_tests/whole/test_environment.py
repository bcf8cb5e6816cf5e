"""What goes wrong around a living host, and goes away again: folders, disks, rights, new columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.errors import LakeError, ReplayError, SourceError
from kappa_assets.host.host import Host
from kappa_assets.host.host_status import read_beat
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.disks import fill, read_only, small_disk
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole.test_bad_files import WITHOUT_GOLD
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read, verify_bronze, verify_ranges, verify_tape

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

_PATIENCE = 300.0


@dataclass
class Director:
    """The switch of a host, which also plays a scene: when a condition holds, the next act is done.

    The host asks it several times a second. After the last act it turns the host off.
    """

    acts: Sequence[tuple[Callable[[], bool], Callable[[], object]]]
    host: Host | None = None
    states: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)
    _next: int = 0
    _deadline: float = field(default_factory=lambda: time.monotonic() + _PATIENCE)

    def __call__(self) -> str | None:
        assert self.host is not None
        for status in self.host.status:
            self.states.add(status.state)
            self.errors.add(f"{status.table}: {status.error}")
        if self._next == len(self.acts):
            return "the scene is over"
        assert time.monotonic() < self._deadline, f"act {self._next} never came; {sorted(self.errors)}"
        condition, act = self.acts[self._next]
        if condition():
            act()
            self._next += 1
        return None

    def play(self, setting: Setting) -> None:
        self.host = Host(setting, WITHOUT_GOLD, wanted=self)
        assert self.host.stream().reason == "the scene is over"

    def said(self, *words: str) -> bool:
        """Whether a query's error holds all of `words`."""
        return any(all(word in error for word in words) for error in self.errors)


def silver_reached(lake: Lake, batches: int) -> Callable[[], bool]:
    def condition() -> bool:
        tape = Tape(lake, INVOICES)
        position = live_position(lake, Registry(lake).state(), SILVER, tape)
        return position.batch + 1 >= batches

    return condition


def nothing() -> None:
    """Only wait for the condition."""


def whole(lake: Lake, files: Sequence[Path]) -> None:
    verify_bronze(lake, files)
    verify_tape(lake)
    verify_ranges(lake, WITHOUT_GOLD)


def move(file: Path, folder: Path) -> Callable[[], object]:
    return lambda: file.rename(folder / file.name)


def test_a_column_that_appears_while_all_streams_live_restarts_silver_and_parks_nothing(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    files = make_files(tmp_path / "staged", 5, files=4, lines=20, drift=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")
    plain, late = files[0], files[3]
    assert b"Channel" not in plain.read_bytes()
    director = Director(
        [
            (lambda: True, move(plain, landing)),
            (silver_reached(setting.lake, 1), move(late, landing)),
            (silver_reached(setting.lake, 2), move(files[1], landing)),
            (silver_reached(setting.lake, 3), nothing),
        ]
    )
    director.play(setting)
    assert "parked" not in director.states
    assert "Channel" in read(setting.lake.folder(INVOICES)).column_names
    whole(setting.lake, sorted(landing.iterdir()))


def test_a_missing_landing_folder_is_waited_for_by_a_stream_and_named_by_a_drain(
    spark: SparkSession, tmp_path: Path
) -> None:
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")
    with pytest.raises(SourceError, match="landing/invoices' is missing"):
        Host(setting, WITHOUT_GOLD).drain()
    landing = tmp_path / "landing" / "invoices"
    (file,) = make_files(tmp_path / "staged", 6, files=1, lines=20)
    director = Director([])
    director.acts = [
        (lambda: director.said("bronze.invoices", "landing/invoices' is missing"), lambda: landing.mkdir(parents=True)),
        (lambda: True, move(file, landing)),
        (silver_reached(setting.lake, 1), nothing),
    ]
    director.play(setting)
    assert "parked" not in director.states
    whole(setting.lake, sorted(landing.iterdir()))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as made:
        yield made


def test_a_full_disk_and_a_read_only_one_corrupt_nothing_and_are_waited_out(
    spark: SparkSession, tmp_path: Path, disk: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    files = make_files(tmp_path / "staged", 7, files=5, lines=20)
    setting = Setting(spark, Lake.at(disk / "lake"), tmp_path / "landing")
    director = Director([])
    beats: list[int] = []

    def beat() -> int:
        found = read_beat(setting.lake)
        assert found is not None
        return found.count

    def refused() -> bool:
        told = director.said("No space left") or director.said("disk")
        return told and "backoff" in director.states and beat() > beats[0] + 1  # the heart beats on without space

    def fill_and_land() -> None:
        fill(disk)
        beats.append(beat())
        director.errors.clear()
        director.states.clear()
        files[1].rename(landing / files[1].name)

    director.acts = [
        (lambda: True, move(files[0], landing)),
        (
            silver_reached(setting.lake, 1),
            fill_and_land,
        ),
        (refused, lambda: whole_without_index(setting.lake, [landing / files[0].name])),
        (lambda: True, (disk / "filler").unlink),
        (silver_reached(setting.lake, 2), move(files[2], landing)),
        (silver_reached(setting.lake, 3), nothing),
    ]
    director.play(setting)
    assert "parked" not in director.states
    whole(setting.lake, sorted(landing.iterdir()))

    fill(disk)
    files[3].rename(landing / files[3].name)
    with pytest.raises(Exception, match=r"No space left|disk"):
        Host(setting, WITHOUT_GOLD).drain()
    (disk / "filler").unlink()
    with (
        read_only(disk, tmp_path / "view") as view,
        pytest.raises(LakeError, match=r"lake '.*view/lake' is not writable"),
    ):
        Lake.at(view / "lake")
    Host(setting, WITHOUT_GOLD).drain()
    whole(setting.lake, sorted(landing.iterdir()))


def test_a_disk_that_fills_up_during_a_replay_leaves_live_as_it_is_and_the_replay_goes_on_afterwards(
    spark: SparkSession, tmp_path: Path, disk: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    for file in make_files(tmp_path / "staged", 8, files=3, lines=20):
        file.rename(landing / file.name)
    setting = Setting(spark, Lake.at(disk / "lake"), tmp_path / "landing", Pace(landed_files=1, table_files=1))
    Host(setting, WITHOUT_GOLD).drain()
    plan = plan_replay(setting.lake, WITHOUT_GOLD, [SILVER])

    def fill_while_it_builds() -> None:
        if setting.lake.folder(SILVER, 2).exists() and not (disk / "filler").exists():
            fill(disk)

    with pytest.raises(Exception, match=r"No space left|disk"):
        run_replay(setting, WITHOUT_GOLD, plan, progress=lambda _: None, wanted=fill_while_it_builds)
    whole(setting.lake, sorted(landing.iterdir()))
    with pytest.raises(ReplayError, match=r"the disk of .* does not hold it"):
        plan_replay(setting.lake, WITHOUT_GOLD, [SILVER])
    (disk / "filler").unlink()

    again = plan_replay(setting.lake, WITHOUT_GOLD, [SILVER])
    assert again.resumes is not None
    result = run_replay(setting, WITHOUT_GOLD, again, progress=lambda _: None)
    assert (result.id, result.state) == (again.resumes, "promoted")
    whole(setting.lake, sorted(landing.iterdir()))


def whole_without_index(lake: Lake, files: Sequence[Path]) -> None:
    """What readers see while the disk is full is what it was before."""
    verify_bronze(lake, files)
    verify_ranges(lake, WITHOUT_GOLD)
