"""`kappa maintain` on a lake written without Spark."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from kappa_assets.cli import main
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.registry import events
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS


@pytest.fixture
def hand(lake_path: Path) -> HandLake:
    made = HandLake(lake_path)
    for _ in range(5):
        made.land(MONDAY)
    return made


def run(hand: HandLake, *arguments: str) -> Result:
    places = ["--lake", str(hand.lake.root), "--pipeline", "kappa_assets_tests.written_logs"]
    return CliRunner().invoke(main, [*arguments, *places])


def test_a_dry_run_shows_what_the_run_then_does(hand: HandLake) -> None:
    before = hand.rows(CLICKS)
    shown = run(hand, "maintain", "--dry-run", "--json")
    assert shown.exit_code == 0, shown.stderr
    assert len(DeltaTable(hand.folder(CLICKS)).file_uris()) == 5
    done = run(hand, "maintain", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(shown.stdout) == json.loads(done.stdout)
    assert [(r["table"], r["files_before"], r["files_after"]) for r in json.loads(done.stdout)] == [
        ("bronze.clicks", 5, 1)
    ]
    assert hand.rows(CLICKS) == before
    assert "nothing to do" in run(hand, "maintain").stdout


@pytest.mark.parametrize("arguments", [("--keep-days", "6"), ("--keep-releases", "0")])
def test_less_than_is_safe_is_refused(hand: HandLake, arguments: tuple[str, ...]) -> None:
    assert run(hand, "maintain", *arguments).exit_code == 2


def test_releases_say_what_they_are_still_good_for(hand: HandLake) -> None:
    hand.read()
    result = run(hand, "releases", "--json")
    assert result.exit_code == 0, result.stderr
    assert [(r["release"], r["current"], r["condition"]) for r in json.loads(result.stdout)] == [(1, True, "kept")]


def test_a_rollback_to_tables_that_cannot_go_on_says_so(hand: HandLake) -> None:
    now = dt.datetime.now(dt.UTC)
    hand.read()
    hand.read(PAGES)
    hand.land(MONDAY)
    hand.say(
        events.generation_created(VISITS, 2, "logic"),
        events.generation_created(PAGES, 2, "logic", upstream=2),
        events.release_created(2, {VISITS: 2, PAGES: 2}, "second"),
    )
    hand.read(generation=2)
    for days in (0, 8):
        maintain(hand.lake, PIPELINE, now=now + dt.timedelta(days=days), progress=lambda _: None)
    listed = run(hand, "releases", "--json")
    assert [r["condition"] for r in json.loads(listed.stdout)] == ["needs replay", "kept"]
    result = run(hand, "rollback")
    assert result.exit_code == 0, result.stderr
    assert "silver.visits can be read, but cannot go on" in result.stderr
