"""What a comparison says against a promotion, and how it is stored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kappa_assets import TableName
from kappa_assets.compare import Comparison, Limits, TableComparison, comparison_rows
from kappa_assets.compare.comparison import Aggregate, Difference
from kappa_assets.errors import ReplayError

SALES = TableName.parse("silver.sales")
SAME = TableComparison(SALES, 7, 1000, 1000, 0, 0, 0, keys=("_batch_id", "_row"))
ALL = Limits(changed_share=0.001, lost_keys=0, rows_share=0.01)


@pytest.mark.parametrize(
    ("found", "limits", "faults"),
    [
        (SAME, ALL, []),
        (replace(SAME, changed=1000, only_live=0), Limits(), []),
        (replace(SAME, changed=1), ALL, []),
        (replace(SAME, changed=2), ALL, ["2 of 1,000 keys changed, 0.200%; the limit is 0.100%"]),
        (replace(SAME, changed=1), Limits(changed_share=0), ["1 of 1,000 keys changed, 0.100%; the limit is 0.000%"]),
        (replace(SAME, only_live=3), Limits(lost_keys=3), []),
        (replace(SAME, only_live=4), Limits(lost_keys=3), ["4 keys would be lost; the limit is 3"]),
        (replace(SAME, candidate_rows=1010), ALL, []),
        (
            replace(SAME, candidate_rows=989),
            ALL,
            ["989 rows instead of 1,000, 1.100% off; the limit is 1.000%"],
        ),
        (
            replace(SAME, only_live=500, changed=100, candidate_rows=500),
            ALL,
            [
                "100 of 500 keys changed, 20.000%; the limit is 0.100%",
                "500 keys would be lost; the limit is 0",
                "500 rows instead of 1,000, 50.000% off; the limit is 1.000%",
            ],
        ),
        (replace(SAME, live_rows=None, candidate_rows=5, only_candidate=5), ALL, []),
    ],
)
def test_each_limit_that_is_passed_is_a_fault_with_its_figures(
    found: TableComparison, limits: Limits, faults: list[str]
) -> None:
    comparison = Comparison((found,), limits)
    assert list(comparison.faults) == [f"silver.sales: {fault}" for fault in faults]
    assert comparison.ok == (not faults)


def test_a_table_that_loses_everything_or_cannot_be_compared_is_a_fault_without_any_limit() -> None:
    emptied = replace(SAME, candidate_rows=0, only_live=1000)
    unknown = replace(SAME, live_rows=None, not_comparable="no commit is left")
    assert Comparison((emptied, unknown)).faults == (
        "silver.sales would lose all its 1,000 rows",
        "silver.sales is not comparable: no commit is left",
    )


@pytest.mark.parametrize("name", ["changed_share", "lost_keys", "rows_share"])
def test_a_limit_below_zero_is_refused(name: str) -> None:
    with pytest.raises(ReplayError, match=f"the limit {name} is -1"):
        Limits(**{name: -1})


def test_a_stored_comparison_is_read_back_as_one_list_that_says_what_each_row_is_of() -> None:
    found = replace(
        SAME,
        changed=1,
        columns={"amount": 1},
        retyped_columns=("amount: int -> bigint",),
        aggregates=(Aggregate(None, "rows", "1000", "1000"), Aggregate("2026-01-05", "amount", "1", "2")),
        slices_differ=1,
        sample=(Difference("_batch_id=0, _row=1", "amount", "1", "2"),),
    )
    facts = json.loads(json.dumps(Comparison((found,), ALL).facts()))
    assert facts["limits"] == {"changed_share": 0.001, "lost_keys": 0, "rows_share": 0.01}
    rows = comparison_rows(facts)
    assert [row["what"] for row in rows] == ["table", "column", "slice", "slice", "sample"]
    assert {row["table"] for row in rows} == {"silver.sales"}
    table, column, total, slice_, sample = rows
    assert (table["changed"], table["retyped_columns"], table["matched_by"]) == (
        1,
        "amount: int -> bigint",
        "_batch_id, _row",
    )
    assert (column["column"], column["keys_changed"]) == ("amount", 1)
    assert (total["slice"], total["measure"], slice_["slice"]) == (None, "rows", "2026-01-05")
    assert (sample["key"], sample["live"], sample["candidate"]) == ("_batch_id=0, _row=1", "1", "2")
