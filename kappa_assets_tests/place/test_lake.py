"""Where things lie, and a lake that cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets.errors import LakeError
from kappa_assets.log import delta_log
from kappa_assets.maintenance.gate import Gate
from kappa_assets.maintenance.steps import tidy
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.stored_table import table_called
from kappa_assets.place.registry import Registry, events

INVOICES, SALES = TableName.parse("bronze.invoices"), TableName.parse("silver.sales")


def test_every_place_of_every_generation_is_its_own(tmp_path: Path) -> None:
    lake = Lake.at(tmp_path)
    names = (INVOICES, SALES, TableName.parse("gold.sales"), TableName.parse("gold.invoices"))
    places = [
        place
        for table in names
        for number in (1, 2)
        for place in (lake.folder(table, number), lake.checkpoint(table, number))
        if table != INVOICES or number == 1
    ]
    places += [lake.rejects(t) for t in names] + [lake.registry, lake.host, lake.tape_index(INVOICES)]
    assert len(set(places)) == len(places)
    assert not [p for p in places for q in places if p != q and p in q.parents]


def test_bronze_has_one_generation_at_its_public_place(tmp_path: Path) -> None:
    lake = Lake.at(tmp_path)
    assert lake.folder(INVOICES, 1) == lake.link(INVOICES) == lake.root / "bronze" / "invoices"
    assert lake.folder(SALES, 1) != lake.link(SALES)


def test_a_lake_is_made_with_its_parents_and_found_again_through_a_link(tmp_path: Path) -> None:
    lake = Lake.at(tmp_path / "a" / "b")
    assert lake.system.is_dir()
    (tmp_path / "link").symlink_to("a/b")
    assert Lake.at(tmp_path / "link") == lake, "one lake under two names would have two locks' worth of paths"


def test_a_lake_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LakeError, match=r"lake '.*file/lake' cannot be made: Not a directory\nHint: .*KAPPA_LAKE"):
        Lake.at(tmp_path / "file" / "lake")


@pytest.mark.parametrize("name", ["a%20b", "a%fFb", "a\\b", "a\nb", "a\tb"])
def test_a_path_that_delta_rs_does_not_find_again_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeError, match=r"the lake cannot lie in .*\nHint: Name another folder"):
        Lake.at(tmp_path / name / "lake")
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["la [prod] ü #1", "^a|b", "50%", "%2", "a+b:c*?{x}<y>@&'\"`~!$()=;,"])
def test_any_other_path_holds_the_tables_of_our_own(tmp_path: Path, name: str) -> None:
    lake = Lake.at(tmp_path / name)
    registry = Registry(lake)
    for number in range(1, 25):
        registry.add(events.release_created(number, {}, "first"))
    (step,) = tidy("registry", lake.events)
    step.do(Gate(lake))
    assert len(DeltaTable(lake.registry).file_uris()) == 1
    assert [e.body for e in Registry(lake).history()] == [e.body for e in registry.history()]
    assert set(Registry(lake).state().releases) == set(range(1, 25))
    assert Registry(lake).add(events.release_created(25, {}, "later")).current == 25


def test_a_lake_that_is_not_writable_is_refused_before_anything_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lake.at(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(LakeError, match="is not writable"):
        Lake.at(tmp_path)


def test_a_folder_is_called_by_the_name_of_its_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert table_called(lake.folder(INVOICES)) == "bronze.invoices"
    assert table_called(lake.folder(SALES, 12)) == "silver.sales g12"
    assert table_called(lake.link(SALES)) == "silver.sales"
    assert table_called(lake.rejects(SALES)) == "the rows set aside of silver.sales"
    assert table_called(tmp_path / "elsewhere") == f"'{tmp_path}/elsewhere'"


def test_an_error_about_a_log_names_the_table_and_its_generation(tmp_path: Path) -> None:
    folder = Lake(tmp_path).folder(SALES, 3)
    with pytest.raises(LakeError, match=r"commit 5 of silver\.sales g3 cannot be read"):
        delta_log.read_commit(folder, 5)
