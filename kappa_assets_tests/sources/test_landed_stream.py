"""Which landed files are found: folders, links, clocks, touched and overwritten files, and what others leave beside."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kappa_assets.declare.source import Overwritten
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans
from kappa_assets.sources.ledger.landing_look import LandingLook
from kappa_assets.sources.ledger.ledger import Delivery, Ledger, hash_of
from kappa_assets.sources.ledger.planner import Planner

YEAR_2300 = 10_413_792_000
BEFORE_1970 = -86_400


class Landing:
    """A landing folder, and a tape of which only the ledger is there: what is read is put into that by hand."""

    def __init__(
        self, root: Path, folder: str = "orders", overwritten: Overwritten = "read", most: int = 1_000
    ) -> None:
        self.folder = root / "landing" / folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(root / "ledger.sqlite", root / "tape", root / "rejects")
        self.ledger.sync()
        self.plans = DeliveryPlans(Checkpoint(root / "checkpoint"))
        self.now = 0.0
        self.planner = Planner(
            "bronze.orders", self.folder, self.ledger, self.plans,
            most=most, overwritten=overwritten, clock=lambda: self.now,
        )  # fmt: skip
        self.planner.begin()

    def land(self, name: str, content: str = "id\n1\n", *, at: float | None = None) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if at is not None:
            os.utime(path, (at, at))
        return path

    def planned(self) -> list[list[str]]:
        """Return the files of each plan that waits."""
        lying = sorted(self.plans.folder.glob("*.json"), key=lambda path: int(path.stem))
        return [self.plans.read([str(path)])[1] for path in lying]

    def read(self, *, set_aside: bool = False) -> list[str]:
        """Look into the folder, take what is planned, and return it; look again until there is nothing."""
        taken: list[str] = []
        for _ in range(3):
            self.now += 60
            self.planner.look()
            for path in sorted(self.plans.folder.glob("*.json"), key=lambda path: int(path.stem)):
                numbers, files = self.plans.read([str(path)])
                for file in files:
                    stat = (self.folder / file).stat()
                    digest = hash_of(self.folder / file)
                    one = Delivery(file, stat.st_size, stat.st_mtime_ns // 1_000_000, digest)
                    self.ledger.note([one], set_aside=set_aside)
                taken += files
                path.unlink()
                self.planner.done(numbers)
        return taken


@pytest.mark.parametrize(
    ("landed", "read"),
    [
        ({"a.csv": None, "2026/01/05/a.csv": None, "north/a.csv": None}, ["2026/01/05/a.csv", "a.csv", "north/a.csv"]),
        (
            {"_read/a.csv": None, ".tmp/a.csv": None, "_x.csv": None, ".y.csv": None, "_metadata.csv": None, "b": None},
            ["b"],
        ),
        (
            {"country=NO/a.csv": None, "country=IT/a.csv": None, "year=2026/a.csv": None, "z.csv": None},
            ["country=IT/a.csv", "country=NO/a.csv", "year=2026/a.csv", "z.csv"],
        ),
        ({"_spark_metadata/0": None, "part-0.csv": None}, ["part-0.csv"]),
        ({"in [1]/a{b}*.csv": None, "in [1]/c.csv": None}, ["in [1]/a{b}*.csv", "in [1]/c.csv"]),
        ({"1.csv": YEAR_2300, "2.csv": None, "3.csv": BEFORE_1970}, ["1.csv", "2.csv", "3.csv"]),
    ],
    ids=["subfolders", "names that are passed by", "key=value", "left by a Spark sink", "brackets", "odd times"],
)
def test_what_lands_is_found_once(tmp_path: Path, landed: Mapping[str, float | None], read: list[str]) -> None:
    landing = Landing(tmp_path, "in [prod] {a,b}")
    for name, at in landed.items():
        landing.land(name, at=at)
    assert sorted(landing.read()) == read
    assert landing.read() == []
    assert Landing(tmp_path, "in [prod] {a,b}").planned() == [], "nor after a new start"


def test_the_oldest_are_taken_first_and_no_more_than_a_batch_takes(tmp_path: Path) -> None:
    landing = Landing(tmp_path, most=2)
    for name, at in {"a": 30, "b": 10, "c": 20, "d": 40, "e": 10}.items():
        landing.land(name, at=at)
    landing.planner.begin()
    assert landing.planned() == [["b", "e"], ["c", "a"], ["d"]]
    landing.planner.look()
    assert len(landing.planned()) == 3, "while it waits for a batch, it plans no other"
    landing.planner.begin()
    assert landing.planned() == [["b", "e"], ["c", "a"], ["d"]], "Spark has seen none of them: they are planned anew"


def test_what_a_stop_between_planning_and_an_offset_left_is_planned_again_once(tmp_path: Path) -> None:
    Landing(tmp_path).land("a.csv")
    again = Landing(tmp_path)
    assert again.planned() == [["a.csv"]]
    log = tmp_path / "checkpoint" / "sources" / "0"
    log.mkdir(parents=True)
    (log / "0").write_text('v1\n{"path":"file:///x/deliveries/0.json","timestamp":0,"batchId":0}')
    again.land("b.csv")
    assert Landing(tmp_path).planned() == [["a.csv"], ["b.csv"]], "the first is Spark's to do: it stays as it is"


def test_the_same_bytes_under_the_same_path_are_on_the_tape_and_others_are_not(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    path = landing.land("a.csv", at=1_000)
    landing.land("b.csv", "id\n2\n", at=1_000)
    assert landing.read() == ["a.csv", "b.csv"]
    path.touch()
    assert landing.read() == []
    landing.land("b.csv", "id\n3\n", at=2_000)
    assert landing.read() == ["b.csv"]
    landing.land("b.csv", "id\n2\n", at=3_000)
    assert landing.read() == [], "put back from a backup: it was read long ago"
    path.rename(landing.folder / "c.csv")
    assert landing.read() == ["c.csv"], "another path is another delivery"
    assert Landing(tmp_path).planned() == []


def test_a_name_is_read_once_where_that_is_declared(tmp_path: Path) -> None:
    landing = Landing(tmp_path, overwritten="name")
    landing.land("a.csv", at=1_000)
    assert landing.read() == ["a.csv"]
    landing.land("a.csv", "id\nother\n", at=2_000)
    assert landing.read() == []


def test_a_file_set_aside_is_read_when_it_is_mended_and_not_when_it_is_touched(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    path = landing.land("a.csv", "broken", at=1_000)
    assert landing.read(set_aside=True) == ["a.csv"]
    path.touch()
    assert landing.read() == []
    landing.land("a.csv", "mended", at=3_000)
    assert landing.read() == ["a.csv"]


def test_of_a_file_with_several_names_one_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    landing = Landing(tmp_path)
    path = landing.land("north/b.csv")
    hidden = landing.land("_in/x.csv")
    outside = tmp_path / "outside.csv"
    outside.write_text("id\n9\n")
    (landing.folder / "c.csv").symlink_to(path)
    os.link(path, landing.folder / "a.csv")
    os.link(hidden, landing.folder / "x.csv")
    (landing.folder / "out.csv").symlink_to(outside)
    (landing.folder / "nowhere.csv").symlink_to(tmp_path / "nowhere")
    (landing.folder / "round").symlink_to(landing.folder)
    (landing.folder / "south").symlink_to(landing.folder / "north")
    assert sorted(landing.read()) == ["a.csv", "out.csv", "x.csv"]
    assert "'north/b.csv' is passed by: it is a link to 'a.csv'" in caplog.text
    (landing.folder / "0.csv").hardlink_to(path)
    assert landing.read() == [], "the name that is on the tape counts"


def test_a_look_reads_only_folders_that_have_changed_and_now_and_then_all(tmp_path: Path) -> None:
    look = LandingLook(tmp_path)
    for name in ("a/1.csv", "b/1.csv"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("1")
    long_ago = time.time() - 60
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path):
        os.utime(folder, (long_ago, long_ago))
    found = look.changed(all_files=True)
    assert [one.file for one in found] == ["a/1.csv", "b/1.csv"]
    look.settle(found)
    (tmp_path / "a" / "2.csv").write_text("2")
    (tmp_path / "b" / "1.csv").write_text("over")
    assert [one.file for one in look.changed(all_files=False)] == ["a/2.csv"]
    assert {one.file for one in look.changed(all_files=True)} == {"a/2.csv", "b/1.csv"}
    (tmp_path / "a" / "1.csv").unlink()
    look.changed(all_files=True)
    (tmp_path / "a" / "1.csv").write_text("1")
    assert "a/1.csv" in {one.file for one in look.changed(all_files=False)}


def test_files_that_are_not_meant_are_passed_by(tmp_path: Path) -> None:
    for name in ("a.csv", "north/b.csv", "readme.txt", "c.CSV", "csv", "north.csv/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {one.file for one in LandingLook(tmp_path, "*.csv").changed(all_files=True)} == {"a.csv", "north/b.csv"}


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LandingLook(tmp_path / "nowhere").changed(all_files=False)
