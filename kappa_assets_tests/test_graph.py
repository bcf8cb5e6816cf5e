"""A pipeline's tables are resolved and checked when it is made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Files, Pipeline, TableName, bronze, gold, load_pipeline, silver
from kappa_assets.errors import DeclarationError, InvalidName, PipelineNotFound, TableNotDeclared
from kappa_assets.pipelines import retail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kappa_assets.declare.tables import Table

TABLES = """\
from kappa_assets import Files, bronze, gold, silver

invoices = bronze("invoices", source=Files("invoices"))

@silver
def sales(invoices): return invoices

@gold
def revenue(sales): return sales
"""


def tape(name: str) -> Table:
    return bronze(name, source=Files(name))


def derived(layer: Any, name: str, upstream: str) -> Table:
    def function(x: Any) -> Any:
        return x

    function.__name__ = name
    table: Table = layer(reads={"x": upstream})(function)
    return table


def made(*tables: Table) -> Pipeline:
    return Pipeline.from_tables("shop", tables)


def refused(*tables: Table) -> DeclarationError:
    """Return the refusal of a pipeline, after seeing that it has a place and a hint."""
    with pytest.raises(DeclarationError) as error:
        made(*tables)
    assert str(error.value).startswith(f"{__file__}:")
    assert error.value.hint
    return error.value


SHOP = [
    tape("invoices"),
    tape("orders"),
    derived(silver, "sales", "invoices"),
    derived(silver, "returns", "invoices"),
    derived(gold, "revenue", "sales"),
    derived(gold, "best", "sales"),
]


@given(st.permutations(SHOP))
def test_tables_come_upstream_first_in_whatever_order_they_are_declared(tables: list[Table]) -> None:
    pipeline = made(*tables)
    assert [str(t.name) for t in pipeline] == [
        "bronze.invoices",
        "bronze.orders",
        "silver.returns",
        "silver.sales",
        "gold.best",
        "gold.revenue",
    ]
    assert pipeline == made(*SHOP)
    assert hash(pipeline) == hash(made(*SHOP))


def test_upstreams_downstreams_and_tapes_are_known() -> None:
    pipeline = made(*SHOP)
    name = TableName.parse
    assert {str(k): ", ".join(map(str, v)) for k, v in pipeline.upstreams.items()} == {
        "silver.sales": "bronze.invoices",
        "silver.returns": "bronze.invoices",
        "gold.revenue": "silver.sales",
        "gold.best": "silver.sales",
    }
    assert [str(n) for n in pipeline.downstream(name("bronze.invoices"))] == [
        "silver.returns",
        "silver.sales",
        "gold.best",
        "gold.revenue",
    ]
    assert pipeline.downstream(name("gold.best")) == ()
    assert str(pipeline.tape_of(name("gold.best"))) == "bronze.invoices"
    assert [len(pipeline.bronzes), len(pipeline.derived)] == [2, 4]


def test_a_tape_is_no_derived_table() -> None:
    with pytest.raises(DeclarationError, match="never replayed"):
        made(*SHOP).derived_table(TableName.parse("bronze.invoices"))


def test_a_table_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(TableNotDeclared, match=r"no table gold\.nothing(.|\n)*It has bronze\.invoices"):
        made(*SHOP)[TableName.parse("gold.nothing")]


def test_a_missing_upstream_is_named_with_the_tables_there_are() -> None:
    error = refused(tape("invoices"), derived(silver, "sales", "orders"))
    assert "silver.sales reads 'orders', which is no table" in error.what
    assert "bronze.invoices" in str(error.hint)
    assert "'bronze.orders', which is no table" in refused(derived(silver, "sales", "bronze.orders")).what


def test_a_table_declared_twice_names_both_places() -> None:
    error = refused(first := derived(silver, "sales", "x"), derived(silver, "sales", "y"))
    assert f"silver.sales is declared twice, first at {first.origin}" in error.what


def test_one_table_found_in_two_modules_is_one() -> None:
    assert len(list(made(*SHOP, *SHOP))) == len(SHOP)


def test_a_bare_name_means_the_layer_above_first() -> None:
    pipeline = made(tape("sales"), derived(silver, "sales", "sales"), derived(gold, "sales", "sales"))
    assert [f"{k} <- {', '.join(map(str, v))}" for k, v in pipeline.upstreams.items()] == [
        "silver.sales <- bronze.sales",
        "gold.sales <- silver.sales",
    ]


def keyed(name: str, *upstreams: str) -> Table:
    """Return a Silver with keys over one table, or two."""

    def of_one(a: Any) -> Any:
        return a

    def of_two(a: Any, b: Any) -> Any:
        return a

    function = of_one if len(upstreams) == 1 else of_two
    function.__name__ = name
    reads = dict(zip("ab", upstreams, strict=False))
    table: Table = silver(keys=["id"], by=dict.fromkeys(reads, "id"), reads=reads)(function)
    return table


def test_silvers_of_silvers_and_golds_of_golds_come_after_what_they_read() -> None:
    deep = [keyed("a", "silver.z", "silver.m"), keyed("m", "silver.z"), derived(silver, "z", "x"), tape("x"), tape("y")]
    golds = [derived(gold, "a", "silver.a"), derived(gold, "b", "gold.c"), derived(gold, "c", "silver.m")]
    pipeline = made(*golds, *deep, keyed("j", "silver.a", "silver.w"), derived(silver, "w", "y"))
    order = [str(table.name) for table in pipeline]
    assert order == [
        *("bronze.x", "bronze.y", "silver.z", "silver.m", "silver.a", "silver.w", "silver.j"),
        *("gold.a", "gold.c", "gold.b"),
    ]
    name = TableName.parse
    assert [str(tape) for tape in pipeline.tapes_of(name("silver.j"))] == ["bronze.x", "bronze.y"]
    assert [str(t) for t in pipeline.downstream(name("silver.w"))] == ["silver.j"]
    assert [str(t) for t in pipeline.readers(name("silver.z"))] == ["silver.m", "silver.a"]


def test_silver_never_reads_gold() -> None:
    error = refused(tape("x"), derived(silver, "a", "x"), derived(gold, "g", "a"), keyed("b", "gold.g"))
    assert "silver.b reads gold.g: a silver table reads bronze or silver" in error.what
    assert "bronze -> silver -> gold" in str(error.hint)


def test_a_silver_over_a_silver_says_which_rows_belong_together() -> None:
    error = refused(tape("a"), derived(silver, "b", "a"), derived(silver, "c", "silver.b"))
    assert "silver.c reads silver.b, row by row: only a tape is read so" in error.what
    assert "keys=['_batch_id', '_row'], by={'x': ['_batch_id', '_row']}" in str(error.hint)


def test_a_silver_with_keys_reads_no_tape() -> None:
    assert "silver.c has keys, and reads the tape bronze.a" in refused(tape("a"), keyed("c", "bronze.a")).what


@pytest.mark.parametrize("upstream", ["a", "bronze.a"])
def test_a_gold_that_reads_a_tape_is_a_wrong_layer(upstream: str) -> None:
    assert "gold.b reads bronze.a: a gold table reads silver" in refused(tape("a"), derived(gold, "b", upstream)).what


@pytest.mark.parametrize("upstream", ["a", "silver.a"])
def test_a_table_that_reads_itself_is_a_cycle(upstream: str) -> None:
    error = refused(tape("x"), derived(silver, "a", upstream))
    assert "cycle: silver.a -> silver.a" in error.what


def test_a_cycle_is_told_before_the_wrong_layer() -> None:
    error = refused(
        derived(silver, "c", "a"),
        derived(silver, "a", "b"),
        derived(silver, "b", "a"),
        derived(gold, "d", "a"),
    )
    assert "cycle: silver.a -> silver.b -> silver.a" in error.what
    assert "further up" in str(error.hint)


@given(st.integers(1, 8), st.integers(0, 4), st.data())
def test_a_cycle_of_any_length_is_found_behind_any_tail(length: int, tail: int, data: st.DataObject) -> None:
    ring = [derived(silver, f"r{i}", f"r{(i + 1) % length}") for i in range(length)]
    behind = [derived(silver, f"t{i}", f"t{i + 1}" if i + 1 < tail else "r0") for i in range(tail)]
    error = refused(*data.draw(st.permutations([*ring, *behind])))
    path = error.what.partition("cycle: ")[2].partition(" (")[0].split(" -> ")
    assert path[0] == path[-1]
    assert sorted(path[1:]) == [f"silver.r{i}" for i in range(length)]


def test_a_pipeline_has_a_plain_name() -> None:
    with pytest.raises(InvalidName, match="pipeline name 'My shop'"):
        Pipeline.from_tables("My shop", SHOP)


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
