"""What a person sees and does in the browser, from `make run` to a rollback."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import TableName
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets.place.registry import Registry
from kappa_assets_tests.browser import browser
from kappa_assets_tests.whole.backfill_ui import backfill, click
from kappa_assets_tests.whole.dagster_ui import Running, eventually, make_run, seen

if TYPE_CHECKING:
    from pathlib import Path

    from kappa_assets_tests.browser import Browser

pytestmark = pytest.mark.slow
INVOICES, SALES = TableName.parse("bronze.invoices"), TableName.parse("silver.sales")
DATA_VERSION = "dagster/data_version"


def test_a_person_watches_repairs_changes_the_logic_validates_replays_promotes_and_rolls_back(tmp_path: Path) -> None:
    with make_run(tmp_path) as running, browser(tmp_path / "screenshots", height=1200) as driver:
        _streams_show_with_no_click(running, driver)
        _slices_are_repaired_with_the_stream_running(running, driver)
        _changed_logic_is_flagged_while_live_goes_on(running, driver)
        _the_past_is_validated_with_the_new_logic(running, driver)
        _a_replay_is_held_promoted_and_rolled_back(running, driver)
        assert running.interrupt() == 0


def _streams_show_with_no_click(running: Running, driver: Browser) -> None:
    gold = eventually(
        lambda: running.materializations("gold", "top_products"), "Gold's first event", moves=running.movement
    )
    assert gold[0][DATA_VERSION].startswith("g1.v")
    newest = running.materializations("gold", "daily_revenue")[0]
    assert newest["dagster/input_data_version/silver/sales"].startswith("g1.v")
    assert "silver.sales g1.v" in newest["description"]
    assert "bronze.invoices up to batch" in newest["description"]
    driver.get(f"{running.url}/asset-groups")
    seen(driver, "invoices", "sales", "daily_revenue", "customer_value", "top_products")
    driver.picture("asset-graph")
    for view in ("overview", "partitions", "events", "checks"):
        driver.get(f"{running.url}/assets/silver/sales?view={view}")
        seen(driver, "sales")
    driver.get(f"{running.url}/assets/gold/daily_revenue?view=events")
    seen(driver, "silver.sales")
    seen_again = running.materializations("gold", "daily_revenue")[0]
    eventually(lambda: running.materializations("gold", "daily_revenue")[0] != seen_again, "the next event")
    # A file every five seconds takes most of a core, and the rest of the story is of replays. The month's other files
    # come at once, as a few batches, and later ones when the story needs them.
    running.stop_feed()
    running.deliver(25)


def _slices_are_repaired_with_the_stream_running(running: Running, driver: Browser) -> None:
    folder = Lake.at(running.lake).folder(SALES, 1)
    today = dt.datetime.now(dt.UTC).date()
    first, last = today - dt.timedelta(days=2), today  # the last slice is still growing
    tape = Tape(Lake.at(running.lake), INVOICES)
    eventually(lambda: any(str(last) in commit.slices for commit in tape.commits()), "the tape to come to today")
    head = tape.head()
    eventually(lambda: _position(folder) >= head, "Silver to have read it", moves=running.movement)
    before = latest_version(folder) or 0
    config = "resources:\n  replay:\n    config:\n      mode: repair\n"
    backfill(running, driver, "silver/sales", f"[{first}...{last}]", config, "repair-dialog")

    notes = [c.note for c in commits(folder, after=before) if c.note is not None]
    repaired = [n.repair.slice for n in notes if n.repair is not None]
    assert repaired == [str(first + dt.timedelta(days=n)) for n in range(3)]
    told = [m for m in running.materializations("silver", "sales", limit=50) if "in the place of" in m["description"]]
    assert len(told) == 3
    assert all(int(m["rows"]) == int(m["replaced"]) > 0 for m in told), told  # the same logic, and nothing was damaged
    driver.get(f"{running.url}/assets/silver/sales?view=partitions&partition={first}")
    seen(driver, "Latest materialization", "tape_version")
    after = latest_version(folder) or 0
    running.deliver()
    eventually(lambda: (latest_version(folder) or 0) > after, "the stream to go on after the repair")
    assert running.check("tape_continuous", "silver", "sales")


def _the_past_is_validated_with_the_new_logic(running: Running, driver: Browser) -> None:
    lake = Lake.at(running.lake)
    version = Tape(lake, INVOICES).commits()[2].version
    config = f"ops:\n  replay_tables:\n    config:\n      tables: [silver.sales]\n      to_version: {version}\n"
    run = running.launch(driver, "replay", config)
    found = next(iter(Registry(lake).state().replays.values()))
    assert found.state == "validated"
    assert found.comparison is not None
    compared = {row["table"]: row for row in found.comparison["tables"]}["silver.sales"]
    # Countries are in capitals now: of the sales as of then those whose country was not have changed; none is lost.
    sales = DeltaTable(lake.folder(SALES, 1)).to_pyarrow_table(columns=["country", "_batch_id"]).to_pylist()
    then = [row["country"] or "" for row in sales if row["_batch_id"] <= compared["batch"]]
    assert (compared["only_live"], compared["only_candidate"]) == (0, 0)
    assert compared["live_rows"] == compared["candidate_rows"] == len(then) < len(sales)
    assert compared["changed"] == sum(country != country.upper() for country in then) > 0
    assert {row["column"] for row in found.comparison["columns"] if row["table"] == "silver.sales"} == {"country"}
    driver.get(f"{running.url}/runs/{run}")
    seen(driver, "is validated")
    assert Registry(lake).state().live(SALES) == Registry(lake).state().generations[SALES, 1]


def _changed_logic_is_flagged_while_live_goes_on(running: Running, driver: Browser) -> None:
    eventually(lambda: running.check("logic_current", "silver", "sales"), "the check to pass first")
    logic = running.root / "kappa_assets" / "pipelines" / "retail" / "silver.py"
    text = logic.read_text()
    assert '_unless_blank(sf.col("Country"))' in text
    logic.write_text(text.replace('_unless_blank(sf.col("Country"))', '_unless_blank(sf.upper("Country"))'))
    driver.get(f"{running.url}/deployment/locations")
    seen(driver, "Reload")
    click(driver, "Reload")
    eventually(lambda: running.check("logic_current", "silver", "sales") is False, "the check to flag the logic")
    driver.get(f"{running.url}/assets/silver/sales?view=checks")
    seen(driver, "logic_current")
    folder = Lake.at(running.lake).folder(SALES, 1)
    before = latest_version(folder) or 0
    running.deliver()
    eventually(lambda: (latest_version(folder) or 0) > before, "live to go on with the old logic")


def _a_replay_is_held_promoted_and_rolled_back(running: Running, driver: Browser) -> None:
    lake = Lake.at(running.lake)
    version = Tape(lake, INVOICES).commits()[1].version
    config = f"ops:\n  replay_tables:\n    config:\n      tables: [silver.sales]\n      from_version: {version}\n"
    run = running.launch(driver, "replay", config + "      promote: hold\n")
    driver.get(f"{running.url}/runs/{run}?logs=replay%20from")  # the plan, found by the log's own filter
    seen(driver, "replay from Bronze version", "beside the live tables")
    driver.picture("replay-plan")
    driver.get(f"{running.url}/runs/{run}")  # opens at the end of the log, where the comparison is
    seen(driver, "is held", "only_candidate")
    driver.picture("replay-run")
    replay = Registry(lake).state().open_replay()
    assert replay is not None
    assert replay.comparison is not None
    assert Registry(lake).state().live(SALES) == Registry(lake).state().generations[SALES, 1]

    running.launch(driver, "promote", "{}")
    live = Registry(lake).state().live(SALES)
    assert live is not None
    assert live.number == 3  # the validation was the second
    assert live.from_batch == 1
    eventually(lambda: _generation(running, "gold", "daily_revenue") == "g3", "events of the new generation")
    eventually(lambda: running.check("logic_current", "silver", "sales"), "the check to pass again")
    driver.get(f"{running.url}/assets/gold/daily_revenue?view=events")
    seen(driver, "g3.v")
    folder = lake.folder(SALES, 3)
    before = latest_version(folder) or 0
    running.deliver()
    eventually(lambda: (latest_version(folder) or 0) > before, "the new generation to go on live")

    running.launch(driver, "rollback", "{}")
    state = Registry(lake).state()
    assert state.current == 1
    eventually(lambda: _generation(running, "gold", "daily_revenue") == "g1", "events of the old generation")
    eventually(lambda: running.check("logic_current", "silver", "sales") is False, "the old logic to be held")
    driver.get(f"{running.url}/assets/silver/sales?view=checks")
    seen(driver, "logic_current")


def _position(folder: Path) -> Position:
    """Return how far on the tape a table's newest commit has come."""
    found = last_note(folder)
    return found[1].position[str(INVOICES)] if found else BEFORE_THE_TAPE


def _generation(running: Running, *key: str) -> str:
    return running.materializations(*key)[0][DATA_VERSION].partition(".")[0]
