"""A code version changes when the logic does, and only then."""

from __future__ import annotations

import ast
import importlib
import random
import subprocess
import sys
from itertools import count
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Files, Pipeline, bronze, expect, gold, load_pipeline, silver
from kappa_assets.declare.code_version import code_version
from kappa_assets.declare.tables import Derived, Table
from kappa_assets.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Load = Callable[..., str]

PIPELINE = """\
from __future__ import annotations
import math
from kappa_assets import LINEAGE, silver

RATES = {"EUR": 1.0, "GBP": 1.17}
LIMIT = 10
UNUSED = 1

def convert(price: float, currency: str = "EUR") -> float:
    return round_up(price * RATES[currency])

def round_up(price):
    return math.ceil(price)

def unused(price):
    return price + UNUSED

class Shape:
    sides: int = 4
    def area(self, side):
        return side * LIMIT

@silver
def sales(invoices):
    big = [convert(invoice) for invoice in invoices if invoice > 0]
    return Shape().area(big), LINEAGE
"""

# old text, new text: what changes what `sales` does
CHANGES = [
    ("invoice > 0", "invoice >= 0"),
    ("1.17", "1.18"),
    ("LIMIT = 10", "LIMIT = 11"),
    ("math.ceil(price)", "math.floor(price)"),
    ('currency: str = "EUR"', 'currency: str = "GBP"'),
    ("return side * LIMIT", "return side + LIMIT"),
    ("sides: int = 4", "sides: int = 5"),
    ("import math", "import cmath as math"),
    ("return round_up(price * RATES[currency])", "return round_up(price)"),
    ("@silver\n", "@silver(reads={'invoices': 'orders'})\n"),
]
# what does not
NO_CHANGES = [
    ("UNUSED = 1", "UNUSED = 2"),
    ("price + UNUSED", "price - UNUSED"),
    ("price: float, currency: str", "price, currency"),
    ("-> float", "-> int"),
    ("def sales(invoices):", "def sales(invoices: 'DataFrame') -> 'DataFrame':"),
    ('{"EUR": 1.0, "GBP": 1.17}', '{"GBP": 1.17, "EUR": 1.0}'),
    ('{"EUR": 1.0, "GBP": 1.17}', "dict(EUR=1.0, GBP=1.17)"),
    ("LIMIT = 10", "LIMIT: int = 5 + 5  # ten"),
    ("@silver\n", "@silver()\n"),
    ("@silver\n", "@silver(owners=['team:a'], tags={'b': 'c'}, on_change='forward')\n"),
    ("@silver\n", "@silver(reads={'invoices': 'bronze.invoices'})\n"),
    ("    return math.ceil(price)", '    """Up."""\n    # really\n    return (math\n        .ceil(price))'),
    ("class Shape:", "class Shape:\n    'A shape.'"),
    ("import math\n", "import math\nimport typing as t\nif t.TYPE_CHECKING:\n    import decimal\n"),
    ("    return Shape()", "    shape: object\n    pass\n    return Shape()"),
]


NOTHING: Mapping[str, str] = {}


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a module of a folder of its own, load it, and return the code version of a table in it."""
    folders = count()
    before = set(sys.modules)
    path_before = list(sys.path)

    def loaded(source: str, table: str = "sales", files: Mapping[str, str] = NOTHING) -> str:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (folder / "shop_tables.py").write_text(dedent(source))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
        sys.path[:] = [str(folder), *path_before]
        importlib.invalidate_caches()
        found = vars(importlib.import_module("shop_tables"))[table]
        assert isinstance(found, Table)
        return code_version(found)

    yield loaded
    sys.path[:] = path_before
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def edited(*edits: tuple[str, str]) -> str:
    source = PIPELINE
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    return source


@pytest.mark.parametrize("edit", CHANGES, ids=[new for _, new in CHANGES])
def test_what_the_function_reaches_changes_its_version(edit: tuple[str, str], load: Load) -> None:
    assert load(edited(edit)) != load(PIPELINE)


@pytest.mark.parametrize("edit", NO_CHANGES, ids=[new for _, new in NO_CHANGES])
def test_what_does_not_act_leaves_the_version(edit: tuple[str, str], load: Load) -> None:
    assert load(edited(edit)) == load(PIPELINE)


@given(st.lists(st.sampled_from(NO_CHANGES), unique=True, max_size=3), st.integers(0, 2**32))
def test_formatting_comments_and_docstrings_leave_the_version(
    load: Load, edits: list[tuple[str, str]], seed: int
) -> None:
    dice = random.Random(seed)
    changed = PIPELINE
    for old, new in edits:
        changed = changed.replace(old, new, 1)
    lines = []
    for line in changed.splitlines():
        lines.append(line + dice.choice(["", "  ", "  # why", "\t# so"]))
        lines += dice.choice([[], [], [""], ["# a comment"]])
    assert load("\n".join(lines)) == load(PIPELINE)
    assert load(ast.unparse(ast.parse(changed))) == load(PIPELINE)


@given(st.lists(st.sampled_from(CHANGES), unique=True, min_size=1, max_size=3), st.randoms())
def test_any_change_reached_shows_through_any_that_is_not(
    load: Load, edits: list[tuple[str, str]], dice: random.Random
) -> None:
    changed = PIPELINE
    for old, new in edits:
        changed = changed.replace(old, new, 1)
    silent = dice.choice(["UNUSED = 1", "price + UNUSED"])
    assert changed != PIPELINE
    assert load(changed.replace(silent, f"{silent} + 1")) == load(changed) != load(PIPELINE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.data(),
)
def test_a_constant_counts_by_its_value(load: Load, value: object, data: st.DataObject) -> None:
    source = """\
        import datetime
        from kappa_assets import silver
        from math import inf, nan
        VALUE = {}
        @silver
        def sales(invoices):
            return VALUE
        """
    other = data.draw(st.integers())
    text = repr(value)
    assert load(source.replace("{}", text)) == load(source.replace("{}", f"({text})"))
    if text != repr(other):
        assert load(source.replace("{}", text)) != load(source.replace("{}", repr(other)))


def test_a_version_is_twelve_hexadecimal_digits_fixed_for_all_pythons(load: Load) -> None:
    """If this fails, every table of every user asks for a replay: change it only on purpose."""
    label = 'return f"{price:>{LIMIT}}: {RATES!r}" f"."'
    assert load(PIPELINE) == "c0d3c437e455"
    assert load(edited(("return math.ceil(price)", label))) == "5ee208a87589"


def test_a_given_version_overrides_the_computed_one(load: Load) -> None:
    assert load(edited(("@silver\n", "@silver(version='2')\n"))) == "2"


def test_the_hash_seed_and_the_folder_do_not_matter(tmp_path: Path) -> None:
    source = PIPELINE.replace("LIMIT = 10", "import os\nLIMIT = {'a', 'b', 'c', os.path.dirname(__file__)}")
    script = "from kappa_assets import *; from kappa_assets.declare.code_version import code_version as v\n"
    versions = set()
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "shop_tables.py").write_text(source)
        run = f"{script}import sys; sys.path[:0] = [{str(folder)!r}]; import shop_tables as t; print(v(t.sales))"
        answer = subprocess.run(
            [sys.executable, "-c", run],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        versions.add(answer.stdout)
    assert len(versions) == 1


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


def test_a_file_loaded_by_path_or_by_name_has_the_same_versions(tmp_path: Path) -> None:
    package = tmp_path / "shop_by_path"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "prices.py").write_text("RATE = 2\n")
    tables = PIPELINE.replace("LIMIT = 10", "from .prices import RATE as LIMIT")
    (package / "tables.py").write_text("from kappa_assets import Files, bronze\n" + tables.split("\n", 1)[1])
    with (package / "tables.py").open("a") as file:
        file.write("invoices = bronze('invoices', source=Files('in'))\n")
    try:
        by_path = load_pipeline(str(package / "tables.py"))
        by_name = load_pipeline("shop_by_path.tables")
    finally:
        sys.path.remove(str(tmp_path))
    assert [code_version(t) for t in by_path] == [code_version(t) for t in by_name]


def test_a_pipeline_keeps_the_version_it_loaded_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "shop_edited.py"
    invoices = "\nfrom kappa_assets import Files, bronze\ninvoices = bronze('invoices', source=Files('in'))\n"
    file.write_text(PIPELINE + invoices)
    loaded = load_pipeline(str(file))
    before = [code_version(t) for t in loaded]
    file.write_text("\n" + PIPELINE.replace("invoice > 0", "invoice > 1") + invoices)
    assert [code_version(t) for t in loaded] == before
    assert [code_version(t) for t in load_pipeline(str(file))] != before
    sys.path.remove(str(tmp_path))


def test_code_without_a_file_asks_for_a_version() -> None:
    source = indent(PIPELINE, "")
    for space in ({}, {"__name__": "__main__"}, dict(globals())):
        exec(compile(source, "<string>", "exec", dont_inherit=True), space)
        table = space["sales"]
        assert isinstance(table, Derived)
        with pytest.raises(DeclarationError, match=r"cannot be told(.|\n)*version='1'"):
            code_version(table)


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


def test_a_tape_has_a_version_of_its_source() -> None:
    def version(*sources: Files) -> list[str]:
        return [code_version(bronze("invoices", source=source, owners=["a"])) for source in sources]

    assert len(set(version(Files("a"), Files("a"), Files("b"), Files("a", format="json")))) == 3


def test_versions_are_taken_when_the_pipeline_is_made() -> None:
    space: dict[str, object] = {}
    exec(compile(PIPELINE, "<string>", "exec", dont_inherit=True), space)
    tables = [bronze("invoices", source=Files("in")), space["sales"]]
    with pytest.raises(DeclarationError, match="version="):
        Pipeline.from_tables("shop", tables)  # type: ignore[arg-type]
