"""The public names of tables: links to the live generations, mended, never overwriting what is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from kappa_assets.errors import LakeError
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import events, mend_links
from kappa_assets.place.registry.state import State, fold

SALES = TableName.parse("silver.sales")
CREATED = [events.generation_created(SALES, n, "") for n in (1, 2)]


def state(number: int) -> State:
    return fold([*CREATED, events.release_created(1, {SALES: number}, "")], 0)


@pytest.fixture
def lake(lake_path: Path) -> Lake:
    return Lake.at(lake_path)


def test_no_release_makes_no_links(lake: Lake) -> None:
    mend_links(lake, State())
    assert not lake.link(SALES).is_symlink()


def test_a_link_leads_to_the_live_generation_and_follows_it(lake: Lake) -> None:
    for number in (1, 2, 1):
        lake.folder(SALES, number).mkdir(parents=True, exist_ok=True)
        mend_links(lake, state(number))
        assert lake.link(SALES).resolve() == lake.folder(SALES, number)


def test_a_lake_can_be_moved_because_links_are_relative(lake: Lake, tmp_path: Path) -> None:
    lake.folder(SALES, 1).mkdir(parents=True)
    mend_links(lake, state(1))
    moved = Lake(lake.root.rename(tmp_path / "elsewhere"))
    assert moved.link(SALES).resolve() == moved.folder(SALES, 1)


def test_a_wrong_or_dangling_link_is_mended_and_a_right_one_left_alone(lake: Lake) -> None:
    link = lake.link(SALES)
    link.parent.mkdir(parents=True)
    link.symlink_to("nowhere")
    mend_links(lake, state(2))
    before = link.lstat().st_ino
    mend_links(lake, state(2))
    assert link.lstat().st_ino == before
    assert [p.name for p in link.parent.iterdir()] == ["sales"], "a temporary link is left"


def test_a_folder_in_the_place_of_a_link_is_not_removed(lake: Lake) -> None:
    lake.link(SALES).mkdir(parents=True)
    (lake.link(SALES) / "precious").touch()
    with pytest.raises(LakeError, match="is no link of ours"):
        mend_links(lake, state(1))
    assert (lake.link(SALES) / "precious").exists()


def test_the_link_of_a_table_that_the_release_lacks_goes_and_comes_back_with_it(lake: Lake) -> None:
    """A rollback to the release from before the table was there."""
    first = [*CREATED, events.release_created(1, {}, "")]
    second = [*first, events.release_created(2, {SALES: 1}, "a new table")]
    lake.folder(SALES, 1).mkdir(parents=True)
    mend_links(lake, fold(second, 0))
    assert lake.link(SALES).is_symlink()
    mend_links(lake, fold([*second, events.release_selected(1, "")], 0))
    assert not lake.link(SALES).is_symlink()
    assert lake.folder(SALES, 1).exists(), "the generation itself stays"
    mend_links(lake, fold(second, 0))
    assert lake.link(SALES).resolve() == lake.folder(SALES, 1)


@pytest.mark.parametrize("target", ["../elsewhere/sales", "/data/g0001"])
def test_a_link_of_somebody_else_stays_though_the_release_lacks_the_table(lake: Lake, target: str) -> None:
    lake.link(SALES).parent.mkdir(parents=True)
    lake.link(SALES).symlink_to(target)
    mend_links(lake, fold([*CREATED, events.release_created(1, {}, "")], 0))
    assert str(lake.link(SALES).readlink()) == target
