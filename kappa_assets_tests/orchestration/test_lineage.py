"""The lineage sensor on logs written by hand: what it reports, in which order, and never twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kappa_assets import Pipeline, late, silver
from kappa_assets.log.note import Position
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor, Mark
from kappa_assets.orchestration.lineage.provenance import DATA_VERSION, REPORTED
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets.place.change import Scan
from kappa_assets_tests.orchestration.reported import DAY, flow, reported, storage_id, versions
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, WrittenLake, clicks

if TYPE_CHECKING:
    import dagster as dg


def test_a_batch_is_reported_once_per_table_upstream_first_with_what_it_was_made_from(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    tick = lineage.tick(instance, LineageCursor())
    (landed,), (read,), (gold,) = (reported(instance, t) for t in (CLICKS, VISITS, PAGES))
    assert (landed.partition, read.partition, gold.partition) == (DAY, DAY, None)
    for event in (landed, read, gold):
        assert event.tags is not None
        assert event.tags[DATA_VERSION] == event.tags[REPORTED] == "g1.v1"
        assert event.tags["dagster/data_version_is_user_provided"] == "true"
    assert read.tags is not None
    assert gold.tags is not None
    assert read.tags["dagster/code_version"] == "logic"
    assert read.tags["dagster/input_data_version/bronze/clicks"] == "g1.v1"
    assert read.tags["dagster/input_event_pointer/bronze/clicks"] == storage_id(instance, CLICKS, DAY)
    assert gold.tags["dagster/input_data_version/silver/visits"] == "g1.v1"
    assert gold.tags["dagster/input_event_pointer/silver/visits"] == storage_id(instance, VISITS)
    assert gold.description == (
        "g1.v1: 3 rows in all, 1 commit (version 1). Read silver.visits g1.v1; bronze.clicks up to batch 0, version 1."
    )
    assert "reported 3 events" in tick.said


def test_numbers_are_under_stable_names_so_that_they_are_plotted(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    flow(web, rows=4)
    with host():
        lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, VISITS)
    numbers = {name: value.value for name, value in event.metadata.items()}
    assert numbers == {
        "rows": 7,
        "dagster/row_count": 7,
        "version": 2,
        "from_version": 1,
        "commits": 2,
        "generation": 1,
        "tape_batch": 1,
        "tape_version": 2,
        "warned_timely": 0,
        "rejected_known": 0,
        "quarantined_whole": 0,
        "lag_seconds": 60.0,
        "batch_seconds": 1.5,
    }


def test_what_batches_read_plots_beside_what_landed(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.read(VISITS, upto=web.land())
    web.read(PAGES, upto=1, scanned=Scan(3, 500, 9_000), landed=4, touched={"groups": 2, "files": 1, "bytes": 10})
    web.read(PAGES, upto=1, since=1, scanned=Scan(4, 600, 9_500), landed=0, touched={"groups": 3})
    lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, PAGES)
    names = {"rows_read", "bytes_read", "files_opened", "rows_landed", "groups"}
    assert {name: event.metadata[name].value for name in names} == {
        "rows_read": 1_100,
        "bytes_read": 18_500,
        "files_opened": 7,
        "rows_landed": 4,
        "groups": 5,
    }
    (other,) = reported(instance, VISITS)
    assert names & other.metadata.keys() == set(), "what was not noted is not 0"


def test_what_the_log_does_not_tell_of_a_read_is_not_plotted(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.read(VISITS, upto=web.land())
    web.read(PAGES, upto=1, scanned=Scan(3, None, 9_000))
    lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, PAGES)
    assert {"bytes_read", "files_opened"} <= event.metadata.keys()
    assert not {"rows_read", "rows_landed", "groups"} & event.metadata.keys()


def test_an_event_of_a_tape_counts_the_arrivals_that_cannot_be_once(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.land(implausible=2)
    web.land(implausible=1)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    web.land()
    lineage.tick(instance, cursor)
    assert [e.metadata["implausible_arrivals"].value for e in reported(instance, CLICKS)] == [3, 0]


def test_the_row_count_goes_on_from_the_last_event(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    flow(web, rows=4)
    lineage.tick(instance, cursor)
    event = reported(instance, VISITS)[-1]
    assert (event.metadata["rows"].value, event.metadata["dagster/row_count"].value) == (4, 7)


def test_a_tick_that_finds_nothing_says_where_the_cut_is(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    again = lineage.tick(instance, cursor)
    assert again.said.startswith("nothing new; cut: bronze.clicks at batch 0")
    assert again.cursor.marks == cursor.marks
    assert len(reported(instance, VISITS)) == 1


def test_a_tick_between_two_commits_waits_for_the_table_that_is_behind(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    with host():
        cursor = lineage.tick(instance, LineageCursor()).cursor
        web.land()
        cursor = lineage.tick(instance, cursor).cursor
        assert versions(instance, CLICKS) == ["g1.v1"]
        web.read(VISITS, upto=2, since=1)
        lineage.tick(instance, cursor)
    assert versions(instance, CLICKS) == ["g1.v1", "g1.v2"]
    assert versions(instance, VISITS) == ["g1.v1", "g1.v2"]


def test_a_gold_that_waits_for_its_every_holds_nobody_back(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    web.read(VISITS, upto=web.land(), since=1)
    with host():
        lineage.tick(instance, LineageCursor())
    assert versions(instance, VISITS) == ["g1.v2"]
    assert versions(instance, PAGES) == ["g1.v1"]


@pytest.mark.parametrize("state", ["held", "parked", "backoff", "stopped"])
def test_a_table_that_does_not_move_is_left_behind(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any], state: str
) -> None:
    flow(web)
    web.land()
    with host({"silver.visits": state}):
        lineage.tick(instance, LineageCursor())
    assert versions(instance, CLICKS) == ["g1.v2"]
    assert versions(instance, VISITS) == ["g1.v1"]


def test_without_a_host_everything_that_was_written_is_reported(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    web.land()
    lineage.tick(instance, LineageCursor())
    assert versions(instance, CLICKS) == ["g1.v2"]


def test_a_tick_that_died_before_its_cursor_was_stored_repeats_nothing_and_misses_nothing(
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders
) -> None:
    flow(web)
    Lineage(folders, PIPELINE).tick(instance, LineageCursor())
    flow(web)
    Lineage(folders, PIPELINE).tick(instance, LineageCursor())  # the first cursor never was stored
    for table in (CLICKS, VISITS, PAGES):
        assert versions(instance, table) == ["g1.v1", "g1.v2"]
    assert [e.metadata["rows"].value for e in reported(instance, VISITS)] == [3, 3]


def test_when_time_is_up_the_rest_follows_up_to_the_same_cut(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    tick = lineage.tick(instance, LineageCursor(), budget=-1)
    assert tick.cursor.pending == {CLICKS: Position(0, 1)}
    assert "the rest follows in the next tick" in tick.said
    flow(web)
    tick = lineage.tick(instance, LineageCursor.from_json(tick.cursor.to_json()))
    assert tick.cursor.pending is None
    assert versions(instance, VISITS) == ["g1.v1"]
    lineage.tick(instance, tick.cursor)
    assert versions(instance, VISITS) == ["g1.v1", "g1.v2"]


def test_a_slice_from_before_the_start_is_reported_without_a_partition_and_says_so(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.land(day="2025-12-31")
    web.land(day="2025-12-30")
    cursor = lineage.tick(instance, LineageCursor()).cursor
    (event,) = reported(instance, CLICKS)
    assert event.partition is None
    assert event.metadata["rows"].value == 6
    assert "before the pipeline's start" in (event.description or "")
    assert event.metadata["slices before the pipeline's start"].value == "2025-12-30, 2025-12-31"
    web.land(day="2025-12-31")
    lineage.tick(instance, cursor)
    lineage.tick(instance, cursor)
    assert versions(instance, CLICKS) == ["g1.v2", "g1.v3"]


def test_a_slice_whose_rows_were_all_rejected_is_reported_as_read(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.read(VISITS, upto=web.land(day="2026-03-02"), rows=0)
    lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, VISITS)
    assert event.partition == "2026-03-02"
    assert event.metadata["rows"].value == 0


def test_rows_that_fail_are_numbers_by_what_becomes_of_them(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    first = web.read(VISITS, upto=web.land(), rejected={"known": 2, "whole": 1}, warned={"timely": 1})
    web.read(VISITS, upto=web.land(), since=first, rejected={"known": 3, "gone": 1})
    lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, VISITS)
    told = {name: fact.value for name, fact in event.metadata.items() if name.partition("_")[0] in WHAT_BECAME}
    assert told == {"warned_timely": 1, "rejected_known": 5, "quarantined_whole": 1, "rejected_gone": 1}


WHAT_BECAME = {"warned", "rejected", "quarantined"}


def test_late_and_repeated_rows_plot_and_so_does_every_delay(
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders
) -> None:
    @silver(late=late("at", after="1 day", policy="drop", ahead="1 hour"), unique=["page"])
    def visits(clicks: Any) -> Any:
        return clicks

    timed = Pipeline.from_tables("web", [clicks, visits], start=PIPELINE.start)
    judged = {"given": 6, "late": 2, "ahead": 1, "out_of_time": 2, "duplicate": 1}
    told: dict[str, Any] = {"judged": judged, "rejected": {"late": 2, "duplicate": 1}}
    first = web.read(VISITS, upto=web.land(), **told, delays={"0": 3, "7_to_29": 2})
    web.read(VISITS, upto=web.land(), since=first, judged={"given": 1}, delays={"unknown": 1})
    Lineage(folders, timed).tick(instance, LineageCursor())
    (event,) = reported(instance, VISITS)
    numbers = {n: f.value for n, f in event.metadata.items() if n.startswith(("rows_", "delay", *WHAT_BECAME))}
    days = [*map(str, range(7)), "7_to_29", "30_or_more", "unknown"]
    delays = dict.fromkeys([f"delay_days_{name}" for name in days], 0)
    delays |= {"delay_days_0": 3, "delay_days_7_to_29": 2, "delay_days_unknown": 1}
    assert numbers == {"rows_late": 2, "rows_ahead": 1, "rows_duplicate": 1, **delays}


def test_maintenance_is_no_news(instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    web.commit(CLICKS, None, add={DAY: 3}, remove=True, data_change=False, operation="OPTIMIZE")
    tick = lineage.tick(instance, cursor)
    assert tick.cursor.marks[CLICKS] == Mark(1, 2)
    assert versions(instance, CLICKS) == ["g1.v1"]
