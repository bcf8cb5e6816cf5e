"""The gate: what is needed stays, whoever asks, whoever declares its readers, and whenever the plan was made."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets import faults
from kappa_assets.errors import DeletionRefused, LakeError
from kappa_assets.log.note import CommitNote
from kappa_assets.maintenance.gate import Gate, upkeep_turn
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import Once
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.delta_write.version_checksum import VersionChecksums
from kappa_assets.place.local.log_files import latest_version
from kappa_assets.place.local.upkeep import unneeded
from kappa_assets.place.local.upkeep.compaction import compact, small_files
from kappa_assets.place.registry import Event, events
from kappa_assets.replay import discard_replay, rollback
from kappa_assets_tests.maintenance.hand_lake import MONDAY, TUESDAY, HandLake, now, run, write_file
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    return HandLake(lake_path)


def test_files_of_a_commit_that_is_in_stay_though_what_follows_it_fails(
    hand: HandLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the checksum after the commit of a merged file cannot be written."""
    for _ in range(5):
        hand.land(MONDAY)
    before = hand.rows(CLICKS)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(VersionChecksums, "write", fail)
        with pytest.raises(OSError, match="No space left"):
            run(hand)
    assert len(DeltaTable(hand.folder(CLICKS)).file_uris()) == 1
    assert hand.rows(CLICKS) == before


def test_a_batch_whose_files_upkeep_took_while_its_host_slept_is_refused_and_done_again(hand: HandLake) -> None:
    hand.land(MONDAY)
    writer = hand._writer(CLICKS)
    before, version = hand.rows(CLICKS), writer.version()
    note = CommitNote(str(CLICKS), 1, 1, "", tape_batch=1, rows=2)
    files = describe_files(writer.folder, [write_file(writer.folder, MONDAY, 1, 2)], writer.partition_by)
    run(hand, at=now(days=8))
    with pytest.raises(LakeError, match=r"1 of 1 files that were written for bronze.clicks are gone.*\nHint: Nothing"):
        writer.commit(files, Once("clicks", 1), note.to_json())
    assert (hand.rows(CLICKS), writer.version()) == (before, version)
    again = describe_files(writer.folder, [write_file(writer.folder, MONDAY, 1, 2)], writer.partition_by)
    assert writer.commit(again, Once("clicks", 1), note.to_json()) == version + 1
    assert hand.rows(CLICKS).total() == 5


def candidate(hand: HandLake, *more: Event) -> None:
    """A held candidate of Silver with five small files."""
    hand.say(
        events.generation_created(VISITS, 2, "new", replay="r", reads=CLICKS),
        events.replay_started("r", {VISITS: 2}, {}),
        events.replay_held("r"),
        *more,
    )
    for _ in range(5):
        hand.land(MONDAY)
        hand.read(generation=2)


def test_a_discard_waits_for_the_slice_that_is_being_rewritten_and_no_lock_goes(
    hand: HandLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate(hand)
    discard = threading.Thread(target=discard_replay, args=(hand.lake, "r"))
    folder = hand.folder(VISITS, 2)
    seen: list[bool] = []

    def meanwhile(point: faults.Point, what: str) -> None:
        if point == "optimizing" and what == "silver.visits g2":
            discard.start()
            while discard.is_alive() and hand.registry.state().replays["r"].state != "discarded":
                pass  # it says so first, then it waits
            discard.join(0.2)
            seen.append(discard.is_alive() and folder.exists())

    monkeypatch.setattr(faults, "_hooks", [meanwhile])
    run(hand)
    discard.join(60)
    assert seen == [True]
    assert not folder.exists()
    assert folder.with_name(".g0002.lock").exists(), "somebody may be waiting for it"
    run(hand)
    assert hand.rows(CLICKS).total() == 15


def test_what_was_discarded_meanwhile_is_neither_rewritten_nor_made_anew(hand: HandLake) -> None:
    candidate(hand)
    planned = small_files("silver.visits", hand.folder(VISITS, 2), before=now().date())
    discard_replay(hand.lake, "r")
    assert not compact(planned[0])
    assert not hand.folder(VISITS, 2).exists()


def test_no_generation_goes_of_which_the_registry_has_not_said_so(hand: HandLake) -> None:
    hand.land(MONDAY)
    hand.read()
    candidate(hand)
    gate = Gate(hand.lake)
    for number in (1, 2):
        with pytest.raises(DeletionRefused, match=f"silver.visits g{number} is neither expired nor discarded"):
            gate.remove_generation(VISITS, number)
        assert hand.rows(VISITS, number).total() > 0


@pytest.mark.parametrize("told", [VISITS, PAGES])
def test_a_live_generation_never_goes_whatever_the_registry_says(hand: HandLake, told: TableName) -> None:
    """Also the Silver that only the live Gold of a release without it reads."""
    hand.land(MONDAY)
    hand.read()
    hand.read(PAGES)
    hand.say(events.release_created(2, {PAGES: 1}, "without the Silver"), events.generation_expired(told, 1))
    with pytest.raises(DeletionRefused, match=f"{told} g1 is live, or a table"):
        Gate(hand.lake).remove_generation(told, 1)
    assert hand.rows(told).total() == 1


def test_what_a_rollback_makes_live_between_plan_and_deed_stays(hand: HandLake) -> None:
    """The plan is made while release 2 is current, whose tables have read everything."""
    hand.land(MONDAY)
    hand.read()
    for _ in range(5):
        hand.land(TUESDAY)
    hand.say(
        events.generation_created(VISITS, 2, "new", reads=CLICKS),
        events.release_created(2, {VISITS: 2, PAGES: 1}, "second"),
    )
    hand.read(generation=2)
    run(hand)
    unread = hand.files(CLICKS)
    at = now(days=8)

    def roll_back() -> str | None:
        if hand.registry.state().current == 2:
            rollback(hand.lake, 1)
        return None

    maintain(hand.lake, PIPELINE, now=at, progress=lambda _: None, wanted=roll_back)
    assert unread <= hand.files(CLICKS)


def test_files_that_a_plan_names_by_mistake_stay(hand: HandLake) -> None:
    for _ in range(3):
        hand.land(MONDAY)
    folder = hand.folder(CLICKS)
    everything = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    gate = Gate(hand.lake, now=now(days=400))
    assert gate.remove_files(folder, (CLICKS, 1), everything) == []
    assert gate.remove_entries(folder, (CLICKS, 1), everything) == []
    assert all((folder / path).exists() for path in everything)
    assert latest_version(folder) == 3


def test_what_is_removed_and_what_is_rewritten_take_turns(hand: HandLake) -> None:
    hand.land(MONDAY)
    written = write_file(hand.folder(CLICKS), MONDAY, 9, 1)
    litter = hand.folder(CLICKS) / written
    gate = Gate(hand.lake, now=now(days=8))
    work = threading.Thread(target=gate.remove_files, args=(hand.folder(CLICKS), (CLICKS, 1), [written]))
    with upkeep_turn(hand.lake):
        work.start()
        work.join(0.3)
        assert litter.exists()
    work.join(60)
    assert not litter.exists()


def test_an_age_is_that_of_the_last_change_of_the_files_entry(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (1.0, 1.0))
    before = path.stat()
    assert unneeded.last_change(before) == before.st_ctime > 1.0
    (tmp_path / "link").hardlink_to(path)
    assert unneeded.last_change(path.stat()) >= before.st_ctime


def test_a_gold_of_which_nothing_is_known_holds_up_no_discard(hand: HandLake) -> None:
    """It may read any Silver of its number, such as a candidate of the same number that is given up."""
    hand.say(events.generation_created(PAGES, 2, "logic", upstream=2), events.release_created(2, {PAGES: 2}, "new"))
    candidate(hand)
    discard_replay(hand.lake, "r")
    assert not hand.folder(VISITS, 2).exists()
