"""One lake for all tests that only look, made by `kappa drain` itself, and what should be in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from kappa_assets.cli import main
from kappa_assets_tests.oracle import Expected, oracle
from kappa_assets_tests.retail_files import make_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


RETAIL = "kappa_assets_tests.retail_sales"


@dataclass(frozen=True)
class Kappa:
    """The command line, with the places of one lake, and the retail pipeline unless another is named."""

    lake: Path
    landing: Path
    expected: Expected

    def run(self, *arguments: str) -> Result:
        places = ["--lake", str(self.lake), "--landing", str(self.landing)]
        return CliRunner().invoke(main, [*arguments, *places], env={"KAPPA_PIPELINE": RETAIL})

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what a command that succeeds answers; nothing but JSON may be on standard output."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Kappa:
    """A drained lake. Only look at it; `own_shop` is for changing it."""
    root = tmp_path_factory.mktemp("shop")
    files = make_files(root / "landing" / "invoices", 11, files=3, lines=60)
    broken = root / "landing" / "invoices" / "2026-01-09.csv.gz"
    whole = next(f for f in files if f.suffix == ".gz")
    broken.write_bytes(whole.read_bytes()[:200])
    made = Kappa(root / "lake", root / "landing", oracle([*files, broken]))
    made.rows("drain")
    return made


@pytest.fixture
def own_shop(shop: Kappa, tmp_path: Path) -> Kappa:
    """A copy of the drained lake, for one test alone."""
    shutil.copytree(shop.lake, tmp_path / "lake", symlinks=True)
    return Kappa(tmp_path / "lake", shop.landing, shop.expected)


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Callable[[str], str]:
    """Write a pipeline's module and return its path."""

    def write(source: str) -> str:
        path = tmp_path / f"pipeline_{abs(hash(source))}.py"
        path.write_text(source)
        return str(path)

    return write
