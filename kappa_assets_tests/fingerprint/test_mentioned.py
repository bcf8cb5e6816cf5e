"""What a table's logic mentions: all that it could read of its payload by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kappa_assets import silver
from kappa_assets.fingerprint.mentioned import mentions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SCHEMA = "price decimal(9,2), `unit price` int"


@silver
def read(clicks: DataFrame) -> DataFrame:
    """Not this: coupon."""
    # nor this: discount
    return clicks.selectExpr(f"from_json(value, '{SCHEMA}') AS p", "get_json_object(value, '$.größe') AS g").where(
        path("gift")
    )


def path(name: str) -> str:
    return f"get_json_object(value, '$.{name}') IS NOT NULL"


def test_texts_names_and_helpers_count_and_comments_do_not() -> None:
    names = ("price", "unit price", "gift", "größe", "value", "coupon", "discount", "unit_price")
    assert [name for name in names if mentions(read, name)] == ["price", "unit price", "gift", "größe", "value"]


def test_of_code_that_cannot_be_read_any_name_may_be_read() -> None:
    space: dict[str, Any] = {}
    exec(compile("def sales(clicks):\n    return clicks", "<string>", "exec", dont_inherit=True), space)
    assert mentions(silver(version="1")(space["sales"]), "coupon")
