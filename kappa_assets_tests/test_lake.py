"""Where things lie, and a lake that cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kappa_assets import delta_log
from kappa_assets.errors import LakeError
from kappa_assets.lake import Lake, table_called
from kappa_assets.table import TableName

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
