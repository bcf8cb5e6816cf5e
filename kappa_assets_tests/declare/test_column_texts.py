"""What people are told of a column: as the docstring's lists say it, or the declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kappa_assets import Files, bronze, gold, silver
from kappa_assets.declare.options.column_texts import described_columns
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.code_version import code_version

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TEXTS = {
    "one": ("- `a`: pieces", {"a": "pieces"}),
    "several of one item": ("- `a`: pieces; `b`: pounds; none of `c`", {"a": "pieces", "b": "pounds; none of `c`"}),
    "of one meaning": ("- `a`, `b` and `c`: UTC.", dict.fromkeys("abc", "UTC")),
    "without a colon": ("- `a` when it is one", {"a": "when it is one"}),
    "over lines": (
        "Text.\n\n- `a`: pieces,\n  negative when returned\n- `b`: UTC",
        {"a": "pieces, negative when returned", "b": "UTC"},
    ),
    "a paragraph that follows": ("- `a`: pieces\n\nIn all, `b` is one.", {"a": "pieces"}),
    "nothing said": ("- `a`; `b`: UTC\n- `c`", {"b": "UTC"}),
    "no column": ("- one of `a`\n- `silver.sales`: read\n\n`b`: in no list", {}),
    "none": ("", {}),
}


@pytest.mark.parametrize("name", TEXTS)
def test_lists_of_a_text_describe_columns(name: str) -> None:
    text, told = TEXTS[name]
    assert described_columns(text) == told


def test_a_declaration_goes_before_the_docstring_and_changes_no_logic() -> None:
    def sales(orders: DataFrame) -> DataFrame:
        """Sales.

        - `amount`: pounds; `units`: pieces
        """
        return orders

    plain, told = silver(sales), silver(columns={"amount": "pounds sterling"})(sales)
    assert (plain.columns, told.columns) == (
        {"amount": "pounds", "units": "pieces"},
        {"amount": "pounds sterling", "units": "pieces"},
    )
    assert code_version(plain) == code_version(told)
    assert gold(keys=["units"], columns={"units": "pieces"})(sales).columns["units"] == "pieces"


def test_a_tape_describes_its_columns_too() -> None:
    tape = bronze("orders", source=Files("orders", format="json"), description="- `value`: a line", columns={"b": "B"})
    assert tape.columns == {"value": "a line", "b": "B"}


def test_what_is_no_text_of_a_column_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"columns of bronze\.orders"):
        bronze("orders", source=Files("orders", format="json"), columns={"a": 1})  # type: ignore[dict-item]
