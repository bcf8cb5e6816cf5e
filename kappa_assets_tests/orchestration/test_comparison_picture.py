"""A comparison as a picture: what it draws, and that the UI can show it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from kappa_assets.compare.comparison import Aggregate, Comparison, TableComparison
from kappa_assets.names import TableName
from kappa_assets.orchestration.shown.comparison_picture import figure_of, picture_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

SALES = TableName.parse("silver.sales")
DAYS = tuple(f"2026-01-{day:02d}" for day in range(1, 32))


def parts(**differs: Any) -> tuple[Mapping[str, Any], list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return a table's line, slices and columns, as a stored comparison has them."""
    counts = {"only_live": 0, "only_candidate": 0, "changed": 0, "keys": ("_batch_id", "_row")}
    table = TableComparison(SALES, 3, 90, 90, **{**counts, **differs})
    facts = Comparison((table,)).facts()
    (row,) = facts["tables"]
    return row, facts["slices"], facts["columns"]


def bars(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]


def test_slices_that_differ_stand_beside_each_other_by_the_measure_in_which_most_do() -> None:
    totals = [Aggregate(None, "rows", "90", "90"), Aggregate(None, "amount", "6.5", "9.0")]
    of_days = [Aggregate(DAYS[0], "rows", None, "2"), Aggregate(DAYS[0], "amount", None, "4.5")]
    figure = figure_of(*parts(changed=3, aggregates=(*totals, *of_days, Aggregate(DAYS[1], "amount", "2.5", "1.25"))))
    assert figure is not None
    left, _ = figure.axes
    assert left.get_title() == "amount of slices that differ"
    assert [label.get_text() for label in left.get_xticklabels()] == [DAYS[0], DAYS[1]]
    assert bars(left) == [0.0, 2.5, 4.5, 1.25]


def test_of_many_slices_the_newest_are_shown() -> None:
    figure = figure_of(*parts(changed=3, aggregates=tuple(Aggregate(day, "rows", "1", "2") for day in DAYS)))
    assert figure is not None
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == list(DAYS[1:])


def test_columns_that_changed_most_come_first_and_those_that_did_not_are_left_out() -> None:
    figure = figure_of(*parts(changed=9, columns={"amount": 2, "country": 0, "sold_at": 9}))
    assert figure is not None
    keys, columns = figure.axes
    assert bars(keys) == [0, 0, 9]
    assert "_batch_id, _row" in keys.get_title()
    assert [label.get_text() for label in columns.get_yticklabels()] == ["amount", "sold_at"]
    assert [bar.get_width() for bar in columns.patches] == [2, 9]  # type: ignore[attr-defined]


def test_where_nothing_differs_there_is_no_picture() -> None:
    assert picture_of(*parts(columns={"amount": 0}, aggregates=(Aggregate(None, "rows", "90", "90"),))) is None


def test_the_picture_is_a_png_in_the_text_that_the_interface_renders() -> None:
    shown = picture_of(*parts(only_live=1))
    assert shown is not None
    assert shown.md_str is not None
    text, _, data = shown.md_str.partition("(data:image/png;base64,")
    assert text == "![silver.sales: live against candidate]"
    assert base64.b64decode(data.removesuffix(")")).startswith(b"\x89PNG")
