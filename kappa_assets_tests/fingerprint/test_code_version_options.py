"""Declared options count to a code version where they change the result, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kappa_assets import Files, bronze, expect, gold, silver
from kappa_assets.declare.tables import Expectation, Table
from kappa_assets.fingerprint.code_version import code_version

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., str]


def declared(**options: Any) -> Table:
    def totals(sales: object) -> Any:
        return sales

    return gold(**options)(totals)


def test_options_that_change_the_result_count_in_any_order() -> None:
    base: dict[str, Any] = {"keys": ["a", "b"], "combine": {"x": "sum", "y": "max"}}
    same = [
        base,
        {"keys": ["b", "a"], "combine": {"y": "max", "x": "sum"}},
        {**base, "owners": ["team:a"], "tags": {"a": "b"}, "on_change": "forward"},
        {**base, "reads": {"sales": "silver.sales"}},
    ]
    other: list[dict[str, Any]] = [
        {"keys": ["a"], "combine": base["combine"]},
        {"keys": ["a", "b"], "combine": {"x": "sum", "y": "min"}},
        {**base, "reads": {"sales": "silver.orders"}},
        {"keys": ["a", "b"]},
    ]
    assert len({code_version(declared(**options)) for options in same}) == 1
    assert len({code_version(declared(**options)) for options in [base, *other]}) == 5
    assert code_version(declared(every="1 minute")) == code_version(declared())
    assert code_version(declared(keep="3 days")) == code_version(declared())


def with_rules(*rules: tuple[str, str]) -> str:
    @silver(expect=[expect(name, condition) for name, condition in rules])
    def sales(invoices: object) -> Any:
        return invoices

    return code_version(sales)


def test_expectations_count_in_any_order() -> None:
    assert with_rules(("a", "x > 0"), ("b", "y > 0")) == with_rules(("b", "y > 0"), ("a", "x > 0"))
    versions = [
        with_rules(),
        with_rules(("a", "x > 0")),
        with_rules(("a", "x > 1")),
        with_rules(("b", "x > 0")),
    ]
    assert len(set(versions)) == 4


def test_expectations_count_that_take_rows_away_from_the_table() -> None:
    """Others come, change and go without a replay: of a table that is parked, the stream goes on in its place."""

    def version(*rules: Expectation) -> str:
        @silver(expect=list(rules))
        def sales(invoices: object) -> Any:
            return invoices

        return code_version(sales)

    dropped = expect("a", "x > 0")
    kept = [expect("b", "y > 0", on_fail="warn"), expect("c", "z > 0", on_fail="fail")]
    assert version(dropped) == version(dropped, *kept) == with_rules(("a", "x > 0"))
    assert version(*kept) == version()
    assert len({version(), version(dropped), version(expect("a", "x > 0", on_fail="quarantine"))}) == 3


def test_a_tape_has_a_version_of_its_source() -> None:
    def version(*sources: Files) -> list[str]:
        return [code_version(bronze("invoices", source=source, owners=["a"])) for source in sources]

    assert len(set(version(Files("a"), Files("a"), Files("b"), Files("a", format="json")))) == 3
    assert len(set(version(Files("a"), Files("a", archive=True)))) == 1, "it changes no row"


def test_tables_without_groups_of_several_upstreams_keep_their_versions() -> None:
    def sales(invoices: object) -> Any:
        return invoices

    frozen = [
        silver(sales),
        silver(expect=[expect("a", "x > 0")])(sales),
        gold(sales),
        gold(keys=["b", "a"], by=["a"])(sales),
        gold(keys=["a"], combine={"x": "sum"}, reads={"invoices": "silver.orders"})(sales),
    ]
    before = ["7014897a2554", "97315ef8a4a8", "68cfb95ccffd", "b14b1b28a137", "133b1bd8d18f"]
    assert [code_version(table) for table in frozen] == before


def test_what_is_read_by_which_parameter_and_what_names_its_groups_count() -> None:
    def version(**options: Any) -> str:
        def joined(sales: object, customers: object) -> Any:
            return sales, customers

        return code_version(
            silver(**{"keys": ["x", "y"], "by": {"sales": ["a", "b"], "customers": ["c", "d"]}, **options})(joined)
        )

    same: list[dict[str, Any]] = [
        {},
        {"keys": ["y", "x"]},
        {"by": {"customers": ["d", "c"], "sales": ["b", "a"]}},
        {"every": "1 minute"},
        {"keep": "3 days"},
    ]
    other: list[dict[str, Any]] = [
        {"keys": ["x"]},
        {"by": {"sales": ["a", "b"], "customers": ["d", "c"]}},
        {"by": {"sales": "a", "customers": "c"}},
        {"reads": {"sales": "customers", "customers": "sales"}},
    ]
    assert len({version(**options) for options in same}) == 1
    assert len({version(**options) for options in [{}, *other]}) == 5
