"""A code version changes when the logic does, and only then."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Files, Pipeline, bronze, gold, load_pipeline
from kappa_assets.declare.tables import Derived
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.code_version import code_version

if TYPE_CHECKING:
    from collections.abc import Callable

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
    script = "from kappa_assets import *; from kappa_assets.fingerprint.code_version import code_version as v\n"
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


def test_versions_are_taken_when_the_pipeline_is_made() -> None:
    space: dict[str, object] = {}
    exec(compile(PIPELINE, "<string>", "exec", dont_inherit=True), space)
    tables = [bronze("invoices", source=Files("in")), space["sales"]]
    with pytest.raises(DeclarationError, match="version="):
        Pipeline.from_tables("shop", tables)  # type: ignore[arg-type]


def test_the_groups_that_are_recomputed_together_count_and_left_out_they_change_no_version() -> None:
    def visits(sales: object) -> object:
        return sales

    versions = {
        by: code_version(gold(keys=["person", "began"], **({"by": by} if by else {}))(visits))  # type: ignore[call-overload]
        for by in [(), ("person",), ("began", "person"), ("person", "began")]
    }
    assert versions["person", "began"] == versions["began", "person"]
    assert len(set(versions.values())) == 3
    assert versions[()] == "c58fea50fa94"
