"""A source that the house does not know brings its rows onto a tape all the same: killed, healed, replayed, refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from deltalake import DeltaTable

from kappa_assets import Files, Pipeline, bronze
from kappa_assets.declare.source import DeclaredSource
from kappa_assets.errors import LogicError, TapeGap
from kappa_assets.host import runner
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import notes_back
from kappa_assets.log.note import RANGES
from kappa_assets.place.local.lake import Lake
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets.sources.known_sources import source_of
from kappa_assets.sources.source import Given, Offsets, Range
from kappa_assets_tests.sources.toy_source import PIPELINE, Journal, JournalSource, lines, words, write_on

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[2]


class Desk:
    """A lake with the tape of a journal, and the means to look whether every line of it is there once."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.root = root
        (root / "landing").mkdir(parents=True)
        self.journal = root / "landing" / "lines.txt"
        self.setting = Setting(spark, Lake.at(root / "lake"), root / "landing")

    @property
    def tape(self) -> Path:
        return self.setting.lake.folder(lines.name)

    @property
    def checkpoint(self) -> Path:
        return self.setting.lake.checkpoint(lines.name) / "journal_lines.txt"

    def dies(self, point: str) -> None:
        command = [sys.executable, "-m", "kappa_assets_tests.sources.toy_source", str(self.root), point]
        died = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]

    def drain(self) -> None:
        Host(self.setting, PIPELINE).drain()

    def holds_every_line_once(self, as_written: str = "{}") -> None:
        """The journal is the oracle: of the tape, of the ranges in its notes, and of the table below."""
        written = self.journal.read_text().splitlines()
        rows = sorted(DeltaTable(self.tape).to_pyarrow_table().to_pylist(), key=lambda row: row["_source"]["number"])
        assert [(r["_source"]["number"], r["line"]) for r in rows] == list(enumerate(written))
        order = [(r["_batch_id"], r["_row"]) for r in rows]
        assert order == sorted(set(order))
        notes = [n for _, n in notes_back(self.tape) if n.tape_batch is not None][::-1]
        ranges = [n.source[RANGES]["lines"] for n in notes]
        assert ranges[0][0] == 0
        assert ranges[-1][1] == len(written)
        assert all(before[1] == after[0] for before, after in pairwise(ranges))
        assert [n.tape_batch for n in notes] == list(range(len(notes)))
        below = DeltaTable(self.setting.lake.link(words.name).resolve()).to_pyarrow_table().column("line").to_pylist()
        assert sorted(below) == sorted(as_written.format(line) for line in written)


@pytest.fixture
def desk(spark: SparkSession, tmp_path: Path) -> Desk:
    return Desk(spark, tmp_path)


@pytest.mark.slow
def test_a_stranger_s_source_is_drained_killed_drained_healed_replayed_and_promoted(desk: Desk, tmp_path: Path) -> None:
    write_on(desk.journal, "a", "b", "c", "d", "e")
    desk.dies("after_commit")
    desk.drain()
    desk.holds_every_line_once()
    shutil.copytree(desk.checkpoint, tmp_path / "checkpoint_then")

    write_on(desk.journal, "f", "g", "h")
    shutil.rmtree(desk.checkpoint)
    desk.drain()
    desk.holds_every_line_once()
    shutil.rmtree(desk.checkpoint)
    shutil.copytree(tmp_path / "checkpoint_then", desk.checkpoint)
    write_on(desk.journal, "i")
    desk.drain()
    desk.holds_every_line_once()

    louder = replace(words, function=lambda lines: words(lines).selectExpr("upper(line) AS line", "* EXCEPT (line)"))
    corrected = Pipeline.from_tables("toy", [lines, replace(louder, version="corrected")])
    plan = plan_replay(desk.setting.lake, corrected, [words.name])
    result = run_replay(desk.setting, corrected, plan, progress=lambda _: None)
    assert result.state == "promoted", result.comparison.faults
    below = DeltaTable(desk.setting.lake.link(words.name).resolve()).to_pyarrow_table().column("line").to_pylist()
    assert sorted(below) == list("ABCDEFGHI")


@pytest.mark.slow
def test_a_tape_that_was_put_back_under_its_checkpoint_takes_again_what_it_does_not_hold(
    desk: Desk, tmp_path: Path
) -> None:
    only = Pipeline.from_tables("toy", [lines])
    write_on(desk.journal, "a", "b")
    Host(desk.setting, only).drain()
    shutil.copytree(desk.tape, tmp_path / "then")
    shutil.copytree(desk.setting.lake.tape_index(lines.name), tmp_path / "index_then")
    write_on(desk.journal, "c", "d")
    Host(desk.setting, only).drain()
    for folder, then in ((desk.tape, "then"), (desk.setting.lake.tape_index(lines.name), "index_then")):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / then, folder)
    desk.drain()
    desk.holds_every_line_once()


class Lying(Journal):
    """A journal that says of its second batch what `says` makes of its range."""


class LyingSource(JournalSource):
    says: ClassVar[Mapping[str, Range]] = {}

    def ranges(self, offsets: Offsets) -> Mapping[str, Range]:
        told = super().ranges(offsets)
        return self.says if told["lines"].since == 2 else told


@source_of.register(Lying)
def _(declared: Lying, given: Given) -> LyingSource:
    return LyingSource(declared, given)


@pytest.mark.slow
def test_a_source_that_gives_twice_or_goes_backwards_is_parked_and_the_other_tables_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PARK_AFTER", 1)
    lying = bronze("lying", source=Lying("lines.txt"))
    sound = bronze("sound", source=Files("sound", format="text"))
    write_on(desk.journal, "a", "b", "c", "d")
    (desk.root / "landing" / "sound").mkdir()
    (desk.root / "landing" / "sound" / "1.txt").write_text("1\n")

    def held(name: str) -> list[str]:
        folder = desk.setting.lake.root / "bronze" / name
        rows = DeltaTable(folder).to_pyarrow_table() if folder.exists() else None
        return [] if rows is None else sorted(rows.column("line" if name == "lying" else "value").to_pylist())

    monkeypatch.setattr(LyingSource, "says", {"lines": Range(1, 4)})
    host: Host

    def wanted() -> str | None:
        states = {status.table: status.state for status in host.status}
        if states["bronze.lying"] != "parked":
            return None
        if not (landed := desk.root / "landing" / "sound" / "2.txt").exists():
            landed.write_text("2\n")
        return "seen" if held("sound") == ["1", "2"] else None

    host = Host(desk.setting, Pipeline.from_tables("toy", [lying, sound]), wanted=wanted)
    host.stream()
    error = next(status.error for status in host.status if status.table == "bronze.lying")
    assert error is not None
    assert "has 'lines' from 1 to 4, but the tape stands at 2: the source gives a delivery twice" in error
    for told, why in (
        ({"lines": Range(2, 1)}, "the source goes backwards"),
        ({"lines": Range(3, 4)}, "what lies between was never given"),
        ({}, "a part of the source is gone"),
    ):
        monkeypatch.setattr(LyingSource, "says", told)
        with pytest.raises(TapeGap, match=why):
            Host(desk.setting, Pipeline.from_tables("toy", [lying])).drain()
    assert held("lying") == ["a", "b"]
    monkeypatch.setattr(LyingSource, "says", {"lines": Range(2, 4)})
    Host(desk.setting, Pipeline.from_tables("toy", [lying])).drain()
    assert held("lying") == ["a", "b", "c", "d"]


def test_what_is_declared_and_nobody_reads_is_refused_with_what_to_do(spark: SparkSession, tmp_path: Path) -> None:
    class Unread(DeclaredSource):
        label = "unread"

    pipeline = Pipeline.from_tables("toy", [bronze("lines", source=Unread())])
    with pytest.raises(LogicError, match=r"Unread is declared as a source.*\n.*@source_of.register\(Unread\)"):
        Host(Setting(spark, Lake.at(tmp_path / "lake"), tmp_path), pipeline).drain()
