"""What the lineage sensor reports again: another generation, a log cleaned up, a cursor that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltalake import DeltaTable

from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.lineage.provenance import DATA_VERSION
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets.place.registry import Registry, events
from kappa_assets_tests.orchestration.reported import DAY, flow, reported, versions
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, WrittenLake

if TYPE_CHECKING:
    import dagster as dg
import pytest


def promote(web: WrittenLake, generation: int, reason: str) -> None:
    """Make a release in which visits has another generation, whose table holds one commit."""
    registry = Registry(web.lake)
    state = registry.state()
    made = [] if (VISITS, generation) in state.generations else [events.generation_created(VISITS, generation, "new")]
    number = max(state.releases) + 1
    registry.commit(state, [*made, events.release_created(number, {VISITS: generation, PAGES: 1}, reason)])


def copy_generation(web: WrittenLake, number: int) -> None:
    """Write the table of another generation of visits: what the first holds, with the generation in its notes."""
    old = web.lake.folder(VISITS) / "_delta_log"
    new = web.lake.folder(VISITS, number) / "_delta_log"
    new.mkdir(parents=True)
    for path in old.iterdir():
        (new / path.name).write_text(path.read_text().replace('\\"generation\\":1', f'\\"generation\\":{number}'))


def test_a_promotion_reports_every_slice_anew_with_the_new_generation(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    web.read(VISITS, upto=web.land(day="2026-03-02"), since=1)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    copy_generation(web, 2)
    promote(web, 2, "replay r1")
    tick = lineage.tick(instance, cursor)
    assert versions(instance, VISITS)[-2:] == ["g2.v2", "g2.v2"]
    event = reported(instance, VISITS, DAY)[-1]
    assert event.metadata["dagster/row_count"].value == 6
    assert "release 2 (replay r1) moved it from generation 1 to 2" in (event.description or "")
    lineage.tick(instance, tick.cursor)
    assert versions(instance, VISITS).count("g2.v2") == 2


def test_a_rollback_reports_the_earlier_generation_again_once(
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders
) -> None:
    flow(web)
    cursor = Lineage(folders, PIPELINE).tick(instance, LineageCursor()).cursor
    copy_generation(web, 2)
    promote(web, 2, "replay r1")
    cursor = Lineage(folders, PIPELINE).tick(instance, cursor).cursor
    registry = Registry(web.lake)
    registry.commit(registry.state(), [events.release_selected(1, "back")])
    Lineage(folders, PIPELINE).tick(instance, cursor)
    Lineage(folders, PIPELINE).tick(instance, cursor)
    assert versions(instance, VISITS) == ["g1.v1", "g2.v1", "g1.v1"]


def test_a_log_cleaned_up_before_it_was_read_is_reported_whole(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    for _ in range(3):
        flow(web)
    DeltaTable(web.lake.folder(CLICKS)).create_checkpoint()
    (web.lake.folder(CLICKS) / "_delta_log" / f"{2:020d}.json").unlink()
    Lineage(lineage._folders, PIPELINE).tick(instance, cursor)
    event = reported(instance, CLICKS)[-1]
    assert event.tags is not None
    assert event.tags[DATA_VERSION] == "g1.v4"
    assert event.metadata["dagster/row_count"].value == 12
    assert "no longer holds" in (event.description or "")


@pytest.mark.parametrize("cleaned", [(0,), (0, 1), (2,)])
def test_a_log_without_all_its_versions_is_reported_whole_at_the_first_look_too(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, cleaned: tuple[int, ...]
) -> None:
    for _ in range(3):
        flow(web)
    DeltaTable(web.lake.folder(CLICKS)).create_checkpoint()
    for version in cleaned:
        (web.lake.folder(CLICKS) / "_delta_log" / f"{version:020d}.json").unlink()
    lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, CLICKS)
    assert event.metadata["dagster/row_count"].value == 9
    assert "no longer holds" in (event.description or "")


def test_a_text_that_is_no_cursor_of_ours_starts_over_without_repeating(
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders
) -> None:
    flow(web)
    Lineage(folders, PIPELINE).tick(instance, LineageCursor())
    for text in ("41", "[]", "{", '{"marks": 3}'):
        Lineage(folders, PIPELINE).tick(instance, LineageCursor.from_json(text))
    assert versions(instance, CLICKS) == ["g1.v1"]
