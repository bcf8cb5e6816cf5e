"""A lake with three batches on the tape, drained in one go, and copies of it for tests that change it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.lake import Lake
from kappa_assets.streams.host import Host
from kappa_assets.streams.query import Pace, Setting
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Shop:
    """A setting, and the files on its tape: one in each batch, a day apart."""

    setting: Setting
    files: tuple[Path, ...]

    @property
    def lake(self) -> Lake:
        return self.setting.lake


@pytest.fixture(scope="session")
def drained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Only look at it; `shop` is for changing it. Silver and Gold took all three batches in one commit."""
    root = tmp_path_factory.mktemp("replayed")
    files = make_files(root / "landing" / "invoices", 31, files=3, lines=40)
    setting = Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(landed_files=1))
    Host(setting, AS_IT_WAS).drain()
    return Shop(setting, tuple(files))


@pytest.fixture
def shop(drained: Shop, spark: SparkSession, tmp_path: Path) -> Shop:
    """A copy of the drained lake, for one test alone."""
    shutil.copytree(drained.lake.root, tmp_path / "lake", symlinks=True)
    return Shop(Setting(spark, Lake.at(tmp_path / "lake"), drained.setting.landing), drained.files)


@pytest.fixture
def said() -> list[str]:
    """What a replay said; give `said.append` as its progress."""
    return []


Stop = Callable[[], str | None]
