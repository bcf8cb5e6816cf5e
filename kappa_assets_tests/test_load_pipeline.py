"""A pipeline is loaded from a module or a file, by its name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from kappa_assets import load_pipeline
from kappa_assets.errors import PipelineNotFound
from kappa_assets.pipelines import retail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = """\
from kappa_assets import Files, bronze, gold, silver

invoices = bronze("invoices", source=Files("invoices"))

@silver
def sales(invoices): return invoices

@gold
def revenue(sales): return sales
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to load pipelines from, forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def names(where: object) -> list[str]:
    return [str(table.name) for table in load_pipeline(str(where))]


def test_a_file_is_a_pipeline_named_after_it(folder: Path) -> None:
    (folder / "shop.py").write_text(TABLES)
    assert load_pipeline(str(folder / "shop.py")).name == "shop"
    assert names(folder / "shop.py") == ["bronze.invoices", "silver.sales", "gold.revenue"]


def test_a_file_is_read_anew_each_time(folder: Path) -> None:
    (folder / "shop.py").write_text(TABLES)
    load_pipeline(str(folder / "shop.py"))
    (folder / "shop.py").write_text(TABLES.replace("revenue", "income"))
    assert names(folder / "shop.py")[-1] == "gold.income"


def test_two_files_of_one_name_are_two_pipelines(folder: Path) -> None:
    for one in ("a", "b"):
        (folder / one).mkdir()
        (folder / one / "shop.py").write_text(TABLES.replace("revenue", f"income_{one}"))
    assert names(folder / "a" / "shop.py")[-1] == "gold.income_a"
    assert names(folder / "b" / "shop.py")[-1] == "gold.income_b"


def test_a_file_imports_what_lies_beside_it(folder: Path) -> None:
    (folder / "shop.py").write_text(TABLES.replace("source=Files", "source=beside_shop.SOURCE or Files"))
    (folder / "beside_shop.py").write_text("from kappa_assets import Files\nSOURCE = Files('x')\n")
    text = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text("import beside_shop\n" + text)
    assert names(folder / "shop.py")[0] == "bronze.invoices"


def test_a_file_in_a_package_is_the_module_of_the_package(folder: Path) -> None:
    package = folder / "shop_package"
    package.mkdir()
    (package / "__init__.py").write_text("from shop_package.tables import *\n")
    (package / "tables.py").write_text("from . import extra\n" + TABLES)
    (package / "extra.py").touch()
    by_file = load_pipeline(str(package / "tables.py"))
    assert by_file.bronzes[0] is load_pipeline("shop_package").bronzes[0]
    assert list(by_file) == list(load_pipeline("shop_package.tables"))
    assert list(by_file) == list(load_pipeline(str(package / "__init__.py")))


def test_a_file_named_as_a_module_of_python_is_refused(folder: Path) -> None:
    import json

    (folder / "json.py").write_text(TABLES)
    with pytest.raises(PipelineNotFound, match=r"cannot be loaded as 'json'(.|\n)*Rename"):
        load_pipeline(str(folder / "json.py"))
    assert sys.modules["json"] is json


def test_a_file_named_as_an_imported_module_is_refused(folder: Path) -> None:
    (folder / "pytest.py").write_text(TABLES)
    with pytest.raises(PipelineNotFound, match=r"cannot be loaded as 'pytest'"):
        load_pipeline(str(folder / "pytest.py"))


def test_an_error_in_a_file_comes_through_and_leaves_nothing_behind(folder: Path) -> None:
    (folder / "shop_broken.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_pipeline(str(folder / "shop_broken.py"))
    assert "shop_broken" not in sys.modules


def test_a_declared_pipeline_is_taken_as_it_is() -> None:
    assert load_pipeline("kappa_assets.pipelines.retail") is retail.pipeline


def test_two_pipelines_in_a_module_are_refused(folder: Path) -> None:
    more = "from kappa_assets import Pipeline\none = Pipeline.from_tables('one', [invoices])\ntwo = "
    (folder / "shop.py").write_text(TABLES + more + "Pipeline.from_tables('two', [invoices])\nagain = one\n")
    with pytest.raises(PipelineNotFound, match="holds 2 pipelines: one, two"):
        load_pipeline(str(folder / "shop.py"))


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("no_such_shop", "no module 'no_such_shop'"),
        ("kappa_assets.no_such_shop", "no module 'kappa_assets.no_such_shop'"),
        ("no_such_shop/tables.py", "no file 'no_such_shop/tables.py'"),
        ("kappa_assets.names", "'kappa_assets.names' declares no tables"),
        ("", "no module ''"),
        (".tables", "no module '.tables'"),
        ("shop/tables", "no module 'shop/tables'"),
    ],
)
def test_what_is_no_pipeline_is_refused_with_a_hint(where: str, text: str) -> None:
    with pytest.raises(PipelineNotFound) as error:
        load_pipeline(where)
    assert text in str(error.value)
    assert error.value.hint


def test_a_module_that_misses_another_says_which(folder: Path) -> None:
    (folder / "shopping.py").write_text("import shop_that_is_not_there\n")
    sys.path.insert(0, str(folder))
    with pytest.raises(ModuleNotFoundError, match="shop_that_is_not_there"):
        load_pipeline("shopping")
