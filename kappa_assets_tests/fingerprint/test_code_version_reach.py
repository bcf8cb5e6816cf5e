"""What counts to a code version beside the function: whatever of the pipeline it reaches, however it gets there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kappa_assets import silver
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.code_version import code_version

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., str]


HELPED = """\
    {}
    from kappa_assets import silver
    @silver
    def sales(invoices):
        return {}(invoices)
    """
IMPORTS = [
    ("from lib.prices import convert", "convert"),
    ("from lib.prices import convert as c", "c"),
    ("import lib.prices", "lib.prices.convert"),
    ("import lib.prices as p", "p.convert"),
    ("from lib import prices", "prices.convert"),
    ("from lib.prices import *", "convert"),
    ("import lib", "lib.prices.convert"),
    ("import lib", "(lambda i: __import__('lib') and lib.prices.convert(i))"),
]


@pytest.mark.parametrize(("line", "call"), IMPORTS, ids=[f"{a}: {b}" for a, b in IMPORTS])
def test_helpers_are_reached_through_every_kind_of_import(line: str, call: str, load: Load) -> None:
    def version(rate: str, other: str = "1") -> str:
        prices = f"from .rates import RATE\ndef convert(i): return i * RATE\ndef other(i): return {other}"
        return load(
            HELPED.format(line, call),
            files={
                "lib/__init__.py": "from . import prices",
                "lib/prices.py": prices,
                "lib/rates.py": f"RATE = {rate}",
            },
        )

    assert version("1.0") != version("2.0")
    assert version("1.0", other="1") == version("1.0", other="2")


def test_imports_inside_a_function_are_followed(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        @silver
        def sales(invoices):
            from prices import convert
            return convert(invoices)
        """
    versions = {load(source, files={"prices.py": f"def convert(i): return i * {rate}"}) for rate in (1, 2, 2)}
    assert len(versions) == 2


def test_a_module_handed_around_counts_whole(load: Load) -> None:
    source = HELPED.format("import prices", "getattr(prices, 'conv' + 'ert')")
    versions = {load(source, files={"prices.py": f"def convert(i): return i * {rate}"}) for rate in (1, 2, 2)}
    assert len(versions) == 2


def test_a_parameter_named_as_a_table_does_not_reach_it(load: Load) -> None:
    source = """\
        from kappa_assets import Files, bronze, gold, silver
        invoices = bronze("invoices", source=Files("in", format="{}"))
        @silver
        def sales(invoices): return {}
        @gold
        def totals(sales): return sales
        """
    assert load(source.format("json", 1)) == load(source.format("text", 1))
    assert load(source.format("json", 1), "totals") == load(source.format("json", 2), "totals")
    assert load(source.format("json", 1), "invoices") != load(source.format("text", 1), "invoices")


def test_a_table_called_as_a_helper_counts_by_its_function_alone(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        @silver(owners=[{}])
        def lines(invoices): return {}
        @silver
        def sales(invoices): return lines(invoices)
        """
    assert load(source.format("'a'", 1)) == load(source.format("'b'", 1))
    assert load(source.format("'a'", 1)) != load(source.format("'a'", 2))


def test_a_helpers_decorator_and_its_options_count(load: Load) -> None:
    source = """\
        import functools
        from kappa_assets import silver
        def scaled(by):
            def wrap(f):
                @functools.wraps(f)
                def inner(i): return f(i) * by
                return inner
            return wrap
        @scaled({})
        def convert(i): return i
        @silver
        @scaled({})
        def sales(invoices): return convert(invoices)
        """
    assert len({load(source.format(*by)) for by in [(1, 1), (1, 1), (2, 1), (1, 2)]}) == 3


def test_functions_made_in_functions_count_with_what_they_hold(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        def make(rate, rule):
            {}
            @silver
            def sales(invoices):
                return [rule(i) * rate for i in invoices]
            return sales
        def double(i): return i * {}
        sales = make({}, double)
        """
    base = load(source.format("", 2, 1))
    assert base == load(source.format("'a docstring'", 2, 1))
    assert base != load(source.format("", 3, 1))
    assert base != load(source.format("", 2, 7))


def test_a_registry_counts_with_what_decorators_put_into_it(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        RULES = []
        def rule(f):
            RULES.append(f)
            return f
        @rule
        def positive(i): return i > {}
        MORE = {{}}
        MORE["x"] = lambda i: i + {}
        @silver
        def sales(invoices):
            return [r(invoices) for r in RULES], MORE
        """
    assert len({load(source.format(*n)) for n in [(0, 0), (0, 0), (1, 0), (0, 1)]}) == 3


def test_recursion_ends(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        def even(n): return n == {} or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        @silver
        def sales(invoices): return even(invoices) or sales(invoices)
        """
    assert load(source.format(0)) != load(source.format(1))


def test_a_chain_of_helpers_may_be_longer_than_the_stack(load: Load) -> None:
    def chain(last: int) -> str:
        helpers = [f"def h{n}(i): return h{n + 1}(i)" for n in range(2000)]
        table = "from kappa_assets import silver\n@silver\ndef sales(invoices): return h0(invoices)"
        return "\n".join([*helpers, f"def h2000(i): return {last}", table])

    assert load(chain(1)) != load(chain(2))


def test_a_module_that_cannot_be_imported_here_counts_as_absent(load: Load) -> None:
    source = HELPED.format("def convert(i):\n        import other_system\n        return i", "convert")
    assert load(source, files={"other_system.py": "raise OSError('not on this machine')"})


def test_conditional_definitions_count_whole(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        try:
            import no_such_module
        except ImportError:
            no_such_module = None
        if no_such_module:
            def convert(i): return {}
        else:
            def convert(i): return 0
        @silver
        def sales(invoices): return convert(invoices), no_such_module
        """
    assert load(source.format(1)) != load(source.format(2))


def test_lambdas_on_one_line_are_told_apart_by_their_parameters_or_refused(load: Load) -> None:
    source = """\
        from kappa_assets import silver
        def make(rule, other):
            @silver
            def sales(invoices): return rule(invoices), other(invoices)
            return sales
        sales = make({})
        """
    assert load(source.format("lambda i: i, lambda j: j + 1")) != load(source.format("lambda i: i, lambda j: j + 2"))
    with pytest.raises(DeclarationError, match=r"several lambdas on its line(.|\n)*def"):
        load(source.format("lambda i: i, lambda i: i + 1"))


def test_a_value_that_cannot_be_compared_asks_for_a_version() -> None:
    held = object()

    @silver
    def sales(invoices: object) -> Any:
        return invoices, held

    with pytest.raises(DeclarationError, match=r"holds a object(.|\n)*version='1'"):
        code_version(sales)
