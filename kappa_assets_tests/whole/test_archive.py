"""Landed files that are moved once they are on the tape: none before it is, none lost or read twice when killed."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.errors import SourceError
from kappa_assets.host.host import Host
from kappa_assets.sources.files.archive import ARCHIVE, Archive
from kappa_assets.sources.files.landed_names import deliveries
from kappa_assets.sources.ledger.ledger import Delivery
from kappa_assets_tests.whole.archived_retail import ARCHIVED
from kappa_assets_tests.whole.chain import walk_chain
from kappa_assets_tests.whole.conftest import TRUNCATED, Stage
from kappa_assets_tests.whole.crashing_host import land
from kappa_assets_tests.whole.scenes import Archiving, Crash, Drain, Step
from kappa_assets_tests.whole.verify import INVOICES, verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []


@pytest.mark.slow
def test_files_are_moved_when_their_batch_is_done_and_damaged_ones_stay(tmp_path: Path, spark: SparkSession) -> None:
    stage = Stage.make(tmp_path, seed=61)
    landing, archive = tmp_path / "landing" / "invoices", tmp_path / "landing" / "invoices" / ARCHIVE
    first, second, third, *_ = stage.staged
    land(tmp_path, [first, TRUNCATED])
    Host(stage.setting(spark), ARCHIVED).drain()
    assert names(landing) == sorted([first, TRUNCATED]), "its batch is the newest: it may have to be run again"
    land(tmp_path, [second])
    Host(stage.setting(spark), ARCHIVED).drain()
    assert (names(landing), names(archive)) == (sorted([second, TRUNCATED]), [first])
    land(tmp_path, [third])
    Host(stage.setting(spark), ARCHIVED).drain()
    assert (names(landing), names(archive)) == (sorted([third, TRUNCATED]), [first, second])
    verify(stage.lake, stage.landed)


@pytest.mark.slow
def test_crashes_move_no_file_too_early_and_lose_none(tmp_path: Path, spark: SparkSession) -> None:
    stage = Stage.make(tmp_path / "stage", seed=62)
    first, last = stage.staged[:4], stage.staged[4:]
    crashes = {
        "before a batch has its offsets": Crash("before_offsets", "bronze.invoices", "driver", nth=3),
        "before that batch is committed": Crash("after_rejects", "bronze.invoices", "both"),
        "before Spark logs it as done": Crash("after_commit", "bronze.invoices", "jvm"),
    }
    links: dict[str, Sequence[Step]] = {name: [Archiving(), crash, Drain()] for name, crash in crashes.items()}
    land(stage.root, first)
    for number, (_, died) in enumerate(walk_chain(stage, links, tmp_path).died.values()):
        # Two batches are logged as done in each: the third one's file stays until that is, too.
        logged = [p for p in died.lake.checkpoint(INVOICES).glob("*/commits/*") if p.name.isdigit()]
        assert len(logged) == 2
        assert names(died.root / "landing" / "invoices" / ARCHIVE) == first[: 1 if number == 0 else 2]
    land(stage.root, last)
    Host(stage.setting(spark), ARCHIVED).drain()
    # What is left makes one batch, the newest: it may have to be run again.
    assert names(tmp_path / "stage" / "landing" / "invoices" / ARCHIVE) == first[:3]
    verify(stage.lake, stage.landed)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    for folder in ("landing", "checkpoint/commits"):
        (tmp_path / folder).mkdir(parents=True)
    return Archive(tmp_path / "landing", tmp_path / "checkpoint")


def put(archive: Archive, *found: str, content: str = "") -> list[Delivery]:
    paths = [archive.folder / name for name in found]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content or path.name)
    return deliveries(archive.folder, map(str, paths))


def log_as_done(archive: Archive, batch: int) -> None:
    (archive.checkpoint / "commits" / str(batch)).write_text("v1\n{}")


def test_a_batch_that_spark_has_not_logged_as_done_keeps_its_files(archive: Archive) -> None:
    archive.move_done()
    archive.note(0, put(archive, "a.csv", "north/b.csv"))
    archive.move_done()
    assert names(archive.folder) == ["a.csv"]
    log_as_done(archive, 0)
    for _ in range(2):
        archive.move_done()
        assert names(archive.folder) == names(archive.folder / "north") == []
        assert names(archive.folder / ARCHIVE) == ["a.csv"]
        assert names(archive.folder / ARCHIVE / "north") == ["b.csv"]


def test_a_move_that_was_killed_goes_on(archive: Archive) -> None:
    archive.note(0, put(archive, "a.csv", "b.csv"))
    log_as_done(archive, 0)
    (archive.folder / ARCHIVE).mkdir()
    (archive.folder / "a.csv").rename(archive.folder / ARCHIVE / "a.csv")
    archive.move_done()
    assert names(archive.folder / ARCHIVE) == ["a.csv", "b.csv"]


def test_a_name_that_was_used_again_overwrites_nothing(archive: Archive) -> None:
    for batch, content in enumerate(("first", "second")):
        archive.note(batch, put(archive, "a.csv", content=content))
        log_as_done(archive, batch)
        archive.move_done()
    assert (archive.folder / ARCHIVE / "a.csv").read_text() == "first"
    assert (archive.folder / ARCHIVE / "a.csv~2").read_text() == "second"
    assert names(archive.folder) == []


def test_a_file_that_was_written_over_before_it_was_moved_stays_and_has_to_be_read(archive: Archive) -> None:
    archive.note(0, put(archive, "a.csv", content="first"))
    put(archive, "a.csv", content="the second")
    log_as_done(archive, 0)
    archive.move_done()
    assert names(archive.folder) == ["a.csv"]


def test_a_folder_that_cannot_be_written_says_so(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: stat.S_IMODE(Path(path).stat().st_mode) & 0o200 and mode)
    archive.prepare()
    archive.folder.chmod(0o500)
    with pytest.raises(SourceError, match="cannot be moved out of the landing folder"):
        archive.prepare()
    archive.folder.chmod(0o700)
    (archive.folder / ARCHIVE).write_text("a file in the way")
    archive.note(0, put(archive, "a.csv"))
    log_as_done(archive, 0)
    with pytest.raises(SourceError, match=r"a\.csv is on the tape, but cannot be moved"):
        archive.move_done()
    (archive.folder / ARCHIVE).unlink()
    archive.move_done()
    assert names(archive.folder / ARCHIVE) == ["a.csv"]
