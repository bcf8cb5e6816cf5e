"""A landing folder and what Spark remembers of it: nothing is read twice, and nothing passed by, without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kappa_assets.errors import SourceError
from kappa_assets.sources.files.landing_folder import LandingFolder


class Place:
    """A landing folder with a checkpoint as Spark writes it."""

    def __init__(self, root: Path, folder: str = "orders") -> None:
        self.folder = root / "landing" / folder
        self.checkpoint = root / "checkpoint"
        self.folder.mkdir(parents=True)

    def seen(self, batch: str, *names: str, folder: Path | None = None) -> None:
        log = self.checkpoint / "sources" / "0"
        log.mkdir(parents=True, exist_ok=True)
        paths = [((folder or self.folder) / name).as_uri().replace("file:///", "file:/") for name in names]
        entries = [json.dumps({"path": path, "timestamp": 1, "batchId": 0}) for path in paths]
        (log / batch).write_text("\n".join(["v1", *entries]))
        (log / f".{batch}.crc").touch()

    def land(self, *names: str) -> None:
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()

    def check(self, folder: Path | None = None) -> None:
        LandingFolder(folder or self.folder, self.checkpoint).check()


def test_files_in_subfolders_that_an_earlier_version_passed_by_are_not_read_unasked(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.seen("0", "a.csv")
    place.land("a.csv", "done/a.csv", "done/b.csv", "_read/c.csv", ".tmp/d.csv", "country=NO/e.csv", "done/_f.csv")
    with pytest.raises(SourceError, match=r"2 files lie in subfolders.* such as 'done/a.csv'.*\nHint: .*empty file '"):
        place.check()
    (place.folder / "done").rename(place.folder / "_done")
    place.check()
    place.land("north/a.csv")
    place.check()


def test_they_are_read_when_somebody_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.seen("0", "a.csv")
    place.land("north/a.csv")
    with pytest.raises(SourceError, match="subfolders") as refused:
        place.check()
    marker = Path(str(refused.value.hint).split("'")[1])
    marker.touch()
    place.check()


def test_a_new_tape_reads_what_lies_in_subfolders(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.land("north/a.csv")
    place.check()
    place.seen("0", "north/a.csv")
    place.land("north/b.csv")
    place.check()
