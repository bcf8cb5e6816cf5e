"""Files that lie in the landing folder otherwise than they were read: each is named, and nothing else is."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from kappa_assets import Files, Pipeline, bronze
from kappa_assets.health import CheckOutcome, run_checks
from kappa_assets.log import delta_log
from kappa_assets.log.note import LANDED, CommitNote
from kappa_assets.sources.files import landed_files
from kappa_assets.sources.files.landed_files import LandedFiles
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, START, WrittenLake

HOUR = 3600.0


@dataclass
class Shop:
    """A landing folder beside a tape: what lands is read at once, as the stream does, unless it is only put there."""

    web: WrittenLake
    landing: Path

    def __post_init__(self) -> None:
        (self.landing / "clicks").mkdir(parents=True)

    def put(self, name: str, text: str = "12345", *, at: float | None = None) -> Path:
        """Write a file that was modified `at` seconds after the start (None: now)."""
        path = self.landing / "clicks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if at is not None:
            os.utime(path, (START.timestamp() + at,) * 2)
        return path

    def read(self, *names: str) -> None:
        """Put a batch of these files on the tape."""
        stats = [(name, (self.landing / "clicks" / name).stat()) for name in names]
        self.web.land(landed=[(name, s.st_size, s.st_mtime_ns // 1_000_000) for name, s in stats])

    def check(self, *, after: float = 0) -> CheckOutcome:
        """Return the check as one who looks for the first time sees it."""
        now = self.web.now + dt.timedelta(seconds=after)
        found = run_checks(self.web.lake, PIPELINE, landing=self.landing, now=now)
        return next(o for o in found if (o.table, o.check) == (CLICKS, "stream_healthy"))

    def named(self, *, after: float = 0) -> dict[str, str]:
        return {str(row["name"]): str(row["detail"]) for row in self.check(after=after).rows}


@pytest.fixture
def shop(lake_path: Path, tmp_path: Path) -> Shop:
    return Shop(WrittenLake(lake_path), tmp_path / "landing")


@pytest.mark.parametrize("days", [0, 2, 400])
def test_a_file_that_is_another_than_the_one_read_is_named_however_long_ago_that_was(shop: Shop, days: int) -> None:
    names = ("same.json", "grown.json", "as large.json", "older now.json", "taken away.json", "north/a.json")
    for name in names:
        shop.put(name, at=0)
    shop.read(*names)
    shop.put("grown.json", "123456789", at=60)
    shop.put("as large.json", "54321", at=60)
    shop.put("older now.json", "54321", at=-60)
    shop.put("north/a.json", "1", at=60)
    (shop.landing / "clicks" / "taken away.json").unlink()
    found = shop.check(after=days * 24 * HOUR)
    assert not found.passed
    assert "4 files changed after they were read" in found.summary
    assert shop.named(after=days * 24 * HOUR) == {
        "grown.json": "5 bytes read, 9 now",
        "as large.json": "5 bytes as before, but modified at 2026-03-01 12:01:00 UTC",
        "older now.json": "5 bytes as before, but modified at 2026-03-01 11:59:00 UTC",
        "north/a.json": "5 bytes read, 1 now",
    }


def test_a_file_that_took_the_name_of_one_moved_away_is_named(shop: Shop) -> None:
    shop.put("orders.json", at=0)
    shop.read("orders.json")
    archived = shop.landing / "clicks" / "_read" / "orders.json"
    archived.parent.mkdir()
    (shop.landing / "clicks" / "orders.json").rename(archived)
    assert shop.named() == {}
    shop.put("orders.json", "12345", at=24 * HOUR)
    assert shop.named() == {"orders.json": "5 bytes as before, but modified at 2026-03-02 12:00:00 UTC"}


def at(moment: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(moment, dt.UTC)


def test_a_file_passed_by_while_later_ones_were_read_is_named_and_one_that_waits_is_not(
    shop: Shop,
) -> None:
    """The name was read before the log that is left begins; how long a file has lain, its change time tells."""
    now = dt.datetime.now(dt.UTC).timestamp()
    base = now - START.timestamp()
    for name, modified in (("first", -10 * HOUR), ("used again", -2 * HOUR), ("aside", -2 * HOUR), ("later", -HOUR)):
        shop.put(name, at=base + modified)
    shop.put("old", at=base - 20 * HOUR)  # read before anything that is remembered, as far as one can tell
    shop.put("waits", at=base - 0.5 * HOUR)
    shop.put("_hidden", at=base - 2 * HOUR)

    def looked(later_at: float) -> list[object]:
        found = LandedFiles(shop.landing / "clicks", clock=lambda: 0.0)
        for name, moment in (("first", now - 9 * HOUR), ("later", later_at)):
            stat = (shop.landing / "clicks" / name).stat()
            landed = [[name, stat.st_size, stat.st_mtime_ns // 1_000_000]]
            note = CommitNote(str(CLICKS), 1, 0, "", tape_batch=0, source={LANDED: landed})
            found.add([delta_log.Commit(1, at(moment), "WRITE", note, {}, True, False, 1, 1)])
        return [row["file"] for row in found.changed({"aside"})]

    assert looked(now + 0.5 * HOUR) == ["used again"]
    assert looked(now + 60) == [], "it may not have been in the listing of the batch that was committed then"


def test_a_look_costs_a_few_stats_and_the_whole_folder_is_walked_every_five_minutes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{n}.json" for n in range(600)]
    for name in names:
        shop.put(name, at=0)
    seen: list[str] = []
    original = landed_files._stat

    def counted(path: str) -> os.stat_result | None:
        seen.append(Path(path).name)
        return original(path)

    clock = [0.0]
    found = LandedFiles(shop.landing / "clicks", clock=lambda: clock[0])
    shop.read(*names)
    found.add(list(delta_log.commits(shop.web.lake.folder(CLICKS))))
    monkeypatch.setattr(landed_files, "_stat", counted)
    assert found.changed() == []
    assert set(seen) >= set(names)
    seen.clear()
    shop.put("0.json", "changed")
    shop.put("599.json", "changed")
    seen.clear()
    clock[0] = 299.0
    assert [row["file"] for row in found.changed()] == ["599.json"]
    assert len(seen) == 500
    clock[0] = 301.0
    assert {row["file"] for row in found.changed()} == {"0.json", "599.json"}
    shop.put("599.json", at=0)
    assert [row["file"] for row in found.changed()] == ["0.json"], "it is as it was read again"


def test_a_tape_of_an_earlier_version_notes_no_files_and_none_is_named(shop: Shop) -> None:
    shop.put("a.json", at=0)
    shop.web.land()
    shop.put("a.json", "another", at=60)
    assert shop.named() == {}


def test_where_other_bytes_under_a_known_name_are_read_there_is_nothing_to_name(shop: Shop) -> None:
    shop.put("a.json", at=0)
    shop.read("a.json")
    shop.put("a.json", "123456789", at=60)
    assert set(shop.named()) == {"a.json"}
    read_again = bronze("clicks", source=Files("clicks", format="json"))
    pipeline = Pipeline.from_tables("web", [read_again], start=dt.date(2026, 1, 1))
    found = run_checks(shop.web.lake, pipeline, landing=shop.landing, now=shop.web.now)
    assert next(o for o in found if o.check == "stream_healthy").rows == ()
