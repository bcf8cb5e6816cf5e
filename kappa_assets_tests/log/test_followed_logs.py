"""Logs that are followed answer as those on disk do, and know a table that was thrown away and made again."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kappa_assets.errors import TapeGap
from kappa_assets.health import HealthChecks
from kappa_assets.log import delta_log
from kappa_assets.log.followed_logs import FollowedLogs
from kappa_assets.log.logs import ON_DISK
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.log_files import log_file
from kappa_assets.place.port import StoredTable
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, WrittenLake


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    web = WrittenLake(lake_path)
    for _ in range(3):
        web.land()
    web.commit(CLICKS, None, operation="OPTIMIZE")
    return web


@pytest.fixture
def clicks(web: WrittenLake) -> Path:
    return web.lake.folder(CLICKS)


def make_again(web: WrittenLake, batches: int) -> None:
    """Throw the table of clicks away, and write another in its place."""
    shutil.rmtree(web.lake.folder(CLICKS))
    web._versions.pop(CLICKS)
    web.commit(CLICKS, None, operation="CREATE TABLE")
    for _ in range(batches):
        web.land(rows=8)


@pytest.mark.parametrize("remembered", [1, 3, 100])
def test_they_answer_as_the_logs_on_disk_do_however_little_they_remember(
    web: WrittenLake, clicks: Path, remembered: int
) -> None:
    logs = FollowedLogs(remembered=remembered)
    for _ in range(2):
        assert logs.newest(clicks) == web.version(CLICKS)
        for after in range(-1, 7):
            for upto in (None, 0, 2, 9):
                found = list(logs.commits(clicks, after=after, upto=upto))
                assert found == list(ON_DISK.commits(clicks, after=after, upto=upto))
            assert logs.first_data_after(clicks, after) == ON_DISK.first_data_after(clicks, after)
        for at_most in (None, 0, 1, 3, 4):
            assert logs.last_note(clicks, at_most=at_most) == ON_DISK.last_note(clicks, at_most=at_most)
        assert len(logs._commits) <= remembered
        web.land()


@pytest.mark.parametrize("batches", [1, 4, 9])
def test_a_table_made_again_with_fewer_as_many_or_more_versions_is_seen_to_be_another(
    web: WrittenLake, clicks: Path, batches: int
) -> None:
    logs = FollowedLogs()
    tape, health = Tape(web.lake, CLICKS, logs), HealthChecks(web.lake, PIPELINE, logs=logs)
    assert (tape.head(), logs.life(clicks)) == (Position(2, 3), 0)
    health.run(now=web.now)
    make_again(web, batches)
    assert logs.life(clicks) == 1
    assert [c.rows for c in tape.commits()] == [8] * batches
    assert tape.head() == Position(batches - 1, batches)
    fresh = HealthChecks(web.lake, PIPELINE)
    assert health.run(now=web.now) == fresh.run(now=web.now)


def test_a_table_that_is_away_has_nothing_and_comes_back_as_another(web: WrittenLake, clicks: Path) -> None:
    logs = FollowedLogs()
    assert logs.newest(clicks) == 4
    kept = clicks.rename(clicks.with_name("away"))
    assert (logs.newest(clicks), list(logs.commits(clicks)), logs.last_note(clicks)) == (None, [], None)
    kept.rename(clicks)
    assert (logs.newest(clicks), logs.life(clicks)) == (4, 1)


def test_a_log_that_went_on_and_was_cleaned_is_the_same_tables(web: WrittenLake, clicks: Path) -> None:
    logs = FollowedLogs()
    assert logs.newest(clicks) == 4
    for _ in range(3):
        web.land()
    for version in range(6):
        log_file(clicks, version).unlink()
    assert (logs.newest(clicks), logs.life(clicks)) == (7, 0)
    assert [c.version for c in logs.commits(clicks)] == [6, 7]
    with pytest.raises(TapeGap, match="no longer holds version 5"):
        list(logs.commits(clicks, after=4))


def test_threads_that_share_them_read_each_commit_once(
    web: WrittenLake, clicks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[int] = Counter()
    original = delta_log.read_commit

    def counted(table: StoredTable, version: int) -> delta_log.Commit:
        read[version] += 1
        return original(table, version)

    monkeypatch.setattr(delta_log, "read_commit", counted)
    logs = FollowedLogs()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: list(logs.commits(clicks)), range(32)))
    assert all(one == found[0] for one in found)
    assert read == dict.fromkeys(range(5), 1)
