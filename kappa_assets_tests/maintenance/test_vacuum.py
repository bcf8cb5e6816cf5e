"""VACUUM and log clean-up: what nobody needs goes; what a reader that is behind still needs stays."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets.errors import PolicyRefused
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain, preview
from kappa_assets.maintenance.steps import Upkeep
from kappa_assets.place.local.log_files import versions
from kappa_assets.place.local.upkeep import unneeded
from kappa_assets_tests.maintenance.hand_lake import MONDAY, TUESDAY, HandLake, write_file
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    return HandLake(lake_path)


def later(days: float = 8) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def run(hand: HandLake, now: dt.datetime | None = None, policy: Policy | None = None) -> list[Upkeep]:
    return maintain(hand.lake, PIPELINE, policy, now=now, progress=lambda _: None)


def live(hand: HandLake, table: object) -> set[str]:
    folder = hand.folder(table)  # type: ignore[arg-type]
    return {str(Path(uri).relative_to(folder)) for uri in DeltaTable(folder).file_uris()}


def test_files_that_were_merged_a_week_ago_go_and_younger_ones_stay(hand: HandLake) -> None:
    for _ in range(6):
        hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    before = hand.rows(CLICKS)
    run(hand)
    assert len(hand.files(CLICKS)) == 7
    run(hand, later(6.9))
    assert len(hand.files(CLICKS)) == 7
    done = run(hand, later(7.1))
    assert ("bronze.clicks", "vacuum") in [(u.table, u.what) for u in done]
    assert hand.files(CLICKS) == live(hand, CLICKS)
    assert hand.rows(CLICKS) == before
    assert hand.registry.state().vacuumed == {(CLICKS, 1): 7}
    assert run(hand, later(7.2)) == []


def test_a_reader_that_is_behind_keeps_the_files_it_has_not_read(hand: HandLake) -> None:
    for _ in range(3):
        hand.land(MONDAY)
    hand.read()
    unread = hand.files(CLICKS)
    for _ in range(4):
        hand.land(TUESDAY)
    unread = hand.files(CLICKS) - unread
    for days in (0, 8, 90):
        run(hand, later(days))
    assert len(unread) == 4
    assert unread <= hand.files(CLICKS)
    log = versions(hand.folder(CLICKS))
    assert {5, 6, 7, 8} <= set(log), "the versions it goes on from are in the log"
    hand.read()
    run(hand, later(90))
    assert not unread & hand.files(CLICKS)
    assert hand.files(CLICKS) == live(hand, CLICKS)


def test_a_gold_that_is_behind_keeps_what_its_silver_changed(hand: HandLake) -> None:
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    for _ in range(5):
        hand.land(MONDAY)
        hand.read()
    needed = hand.files(VISITS)
    for days in (0, 8, 90):
        run(hand, later(days))
    assert needed <= hand.files(VISITS)
    assert len(needed) == 6
    hand.read(PAGES)
    run(hand, later(90))
    assert hand.files(VISITS) == live(hand, VISITS)
    assert len(live(hand, VISITS)) == 1


def test_a_reader_in_its_upstreams_first_snapshot_keeps_that_snapshots_files(hand: HandLake) -> None:
    for _ in range(6):
        hand.land(MONDAY)
    snapshot = hand.files(CLICKS)
    offsets = hand.lake.checkpoint(VISITS, 1) / "offsets"
    offsets.mkdir(parents=True)
    source = '{"sourceVersion":1,"reservoirId":"x","reservoirVersion":6,"index":2,"isStartingVersion":true}'
    (offsets / "0").write_text(f"v1\n{{}}\n{source}")
    for days in (0, 8, 90):
        run(hand, later(days))
    assert snapshot <= hand.files(CLICKS)


def test_what_killed_writers_left_goes_by_age_alone(hand: HandLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unneeded, "last_change", lambda stat: stat.st_mtime)  # nobody can set the other time
    hand.land(MONDAY)
    folder = hand.folder(CLICKS)
    old, young = (folder / write_file(folder, MONDAY, 9, 2) for _ in range(2))
    litter = folder / "data" / "killed" / "_temporary" / "0" / "part-1.parquet"
    feed = folder / "_change_data" / "cdc-1.parquet"
    for path in (litter, feed):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half a file")
    crc = old.with_name(f".{old.name}.crc")
    crc.write_bytes(b"crc")
    ten_days_ago = dt.datetime.now(dt.UTC).timestamp() - 10 * 86_400
    for path in (old, litter, crc):
        os.utime(path, (ten_days_ago, ten_days_ago))
    done = run(hand)
    assert [(u.table, u.what, u.files_before - u.files_after) for u in done] == [("bronze.clicks", "vacuum", 3)]
    assert (old.exists(), crc.exists(), litter.exists()) == (False, False, False)
    assert not old.parent.parent.exists(), "the folders it left empty go, too"
    assert (young.exists(), feed.exists()) == (True, True)
    assert (folder.parent / ".clicks.lock").exists()
    assert hand.rows(CLICKS).total() == 3


def test_the_log_keeps_what_positions_are_computed_from(hand: HandLake) -> None:
    for _ in range(45):
        hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    before = Tape(hand.lake, CLICKS).commits()
    tape = Tape(hand.lake, CLICKS)
    reached = [position_of(hand.lake, tape, t, 1) for t in (VISITS, PAGES)]
    assert reached == [Position(44, 45)] * 2
    for days in (0, 8, 16, 40):
        run(hand, later(days))
    log = versions(hand.folder(CLICKS))
    assert log[0] > 0
    assert log == list(range(log[0], log[-1] + 1))
    note = last_note(hand.folder(CLICKS))
    assert note is not None
    assert note[1].tape_batch == 44
    tape = Tape(hand.lake, CLICKS)
    assert tape.commits() == before
    assert [position_of(hand.lake, tape, t, 1) for t in (VISITS, PAGES)] == reached
    assert hand.rows(CLICKS).total() == 45 * 3
    hand.land(TUESDAY)
    assert Tape(hand.lake, CLICKS).head() == Position(45, log[-1] + 1)


def test_a_log_of_one_day_is_kept_short_too(hand: HandLake) -> None:
    for _ in range(130):
        hand.land(MONDAY)
    hand.read()
    rows = hand.rows(CLICKS)
    run(hand, policy=Policy(keep_commits=100))
    log = versions(hand.folder(CLICKS))
    assert log == list(range(20, 132)), "from the checkpoint before the hundredth newest on"
    assert hand.rows(CLICKS) == rows
    hand.land(TUESDAY)
    hand.read()
    assert Tape(hand.lake, CLICKS).head() == Position(130, 132)


def test_a_reader_that_is_behind_keeps_the_log_as_long_as_it_needs_it(hand: HandLake) -> None:
    for _ in range(3):
        hand.land(MONDAY)
    hand.read()
    for _ in range(130):
        hand.land(MONDAY)
    run(hand, policy=Policy(keep_commits=100))
    assert versions(hand.folder(CLICKS))[0] <= 4
    hand.read()
    run(hand, policy=Policy(keep_commits=100))
    assert versions(hand.folder(CLICKS))[0] <= 4, "Spark lists the commits of a query's last batch again at its start"
    hand.land(MONDAY)
    hand.read()
    run(hand, policy=Policy(keep_commits=100))
    assert versions(hand.folder(CLICKS))[0] == 20


def test_files_removed_lately_stay_though_the_commits_that_removed_them_are_cleaned(hand: HandLake) -> None:
    for _ in range(130):
        hand.land(MONDAY)
        hand.read()
        hand.read(PAGES)
    folder = hand.folder(PAGES)
    written = hand.files(PAGES)
    assert len(written) == 130
    assert len(live(hand, PAGES)) == 1
    ten_days_ago = dt.datetime.now(dt.UTC).timestamp() - 10 * 86_400
    for path in written:
        os.utime(folder / path, (ten_days_ago, ten_days_ago))
    for _ in range(2):
        run(hand, policy=Policy(keep_commits=100))
        assert versions(folder)[0] == 20
        assert hand.files(PAGES) == written, "the first twenty were removed by commits that are cleaned"
    run(hand, later(8), Policy(keep_commits=100))
    assert hand.files(PAGES) == live(hand, PAGES)


def test_a_cleaned_log_still_gets_checksums(hand: HandLake) -> None:
    for _ in range(45):
        hand.land(MONDAY)
    for days in (0, 8, 16):
        run(hand, later(days))
    folder = hand.folder(CLICKS) / "_delta_log"
    assert not (folder / f"{0:020d}.json").exists()
    hand.land(TUESDAY)
    newest = versions(hand.folder(CLICKS))[-1]
    assert (folder / f"{newest:020d}.crc").exists()


def test_of_checkpoints_one_a_day_stays_and_of_checksums_the_newest(hand: HandLake) -> None:
    for _ in range(65):
        hand.land(MONDAY)
    folder = hand.folder(CLICKS) / "_delta_log"
    assert len(list(folder.glob("*.checkpoint.parquet"))) == 3
    assert len(list(folder.glob("*.crc"))) == 40, "the writer keeps no more"
    three_days_ago = dt.datetime.now(dt.UTC).timestamp() - 3 * 86_400
    for path in folder.iterdir():
        os.utime(path, (three_days_ago, three_days_ago))
    run(hand, policy=Policy(optimize=False))
    assert [p.name[:20] for p in sorted(folder.glob("*.checkpoint.parquet"))] == [f"{v:020d}" for v in (40, 60)]
    assert len(list(folder.glob("*.crc"))) == 6
    assert DeltaTable(hand.folder(CLICKS), version=7).to_pyarrow_table().num_rows == 21, "no commit is gone"


def test_tape_index_and_registry_do_not_stay_many_small_files(hand: HandLake) -> None:
    for batch in range(25):
        hand.land(MONDAY)
        Tape(hand.lake, CLICKS).sync()
        hand.say(*_selected(batch))
    before, history = Tape(hand.lake, CLICKS).commits(), hand.registry.history()
    done = run(hand)
    assert {("tape index of bronze.clicks", 25, 1), ("registry", 26, 1)} <= {
        (u.table, u.files_before, u.files_after) for u in done
    }
    assert len(DeltaTable(hand.lake.tape_index(CLICKS)).file_uris()) == 1
    assert len(DeltaTable(hand.lake.registry).file_uris()) == 1
    assert Tape(hand.lake, CLICKS).commits() == before
    assert hand.registry.history()[: len(history)] == history
    hand.land(MONDAY)
    tape = Tape(hand.lake, CLICKS)
    tape.sync()
    assert DeltaTable(hand.lake.tape_index(CLICKS)).to_pyarrow_table().num_rows == 26


def _selected(number: int) -> list[object]:
    from kappa_assets.place.registry import events

    return [events.release_selected(1, f"reason {number}")]


def test_a_dry_run_shows_the_same_and_changes_nothing(hand: HandLake) -> None:
    for _ in range(6):
        hand.land(MONDAY)
    hand.read()
    run(hand)
    before = {p: p.stat().st_mtime_ns for p in hand.lake.root.rglob("*")}
    shown = preview(hand.lake, PIPELINE, now=later())
    assert {p: p.stat().st_mtime_ns for p in hand.lake.root.rglob("*")} == before
    assert shown == run(hand, later())


@pytest.mark.parametrize(("releases", "days", "commits"), [(3, 6, 1000), (3, 0, 1000), (0, 7, 1000), (3, 7, 99)])
def test_a_policy_cannot_keep_less_than_is_safe(releases: int, days: int, commits: int) -> None:
    with pytest.raises(PolicyRefused):
        Policy(releases, days, commits)
