"""A pipeline's tables are resolved and checked when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Files, Kafka, Pipeline, TableName, bronze, gold, silver
from kappa_assets.errors import DeclarationError, InvalidName, SetupError, TableNotDeclared

if TYPE_CHECKING:
    from kappa_assets.declare.tables import Table


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


def test_what_the_logic_needs_of_spark_is_named_by_coordinates() -> None:
    avro = "org.apache.spark:spark-avro_2.13:4.2.0"
    made = Pipeline.from_tables("shop", [tape("a"), bronze("b", source=Kafka("b"))], packages=[avro])
    assert made.packages == tuple(sorted((avro, *Kafka.packages)))
    for wrong in ("spark-avro", ["org.apache.spark:spark-avro"], [f"{avro} --conf a=b"], [7]):
        with pytest.raises(DeclarationError, match="packages must be Maven coordinates, group:name:version; got"):
            Pipeline.from_tables("shop", [tape("a")], packages=wrong)  # type: ignore[arg-type]  # what is refused


def test_tapes_of_folders_read_topics_instead_where_the_setting_says_so() -> None:
    mixed = bronze("mixed", sources=[Files("old/orders"), Kafka("orders", records_per_batch=7)])
    pipeline = made(tape("orders"), mixed, derived(silver, "sales", "bronze.orders"))
    assert pipeline.read_from(None) is pipeline.read_from("") is pipeline.read_from("folder") is pipeline
    on_kafka = pipeline.read_from("kafka")
    assert {b.name.name: {one.label for one in b.sources} for b in on_kafka.bronzes} == {
        "orders": {"kafka:orders"},
        "mixed": {"kafka:old.orders", "kafka:orders"},
    }
    declared = Kafka("orders", records_per_batch=7)
    both = made(bronze("both", sources=[Files("orders"), declared])).read_from("kafka")
    assert both.bronzes[0].sources == (declared,)
    assert on_kafka.derived == pipeline.derived, "what is above does not know"
    assert (pipeline.packages, on_kafka.packages) == (Kafka.packages, Kafka.packages)
    with pytest.raises(SetupError, match="KAPPA_SOURCE must be folder or kafka; got 'files'"):
        pipeline.read_from("files")
