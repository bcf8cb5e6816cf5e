"""Replays on the command line: planned, bounded, compared, limited, forced."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from kappa_assets_tests.cli.conftest import Kappa
from kappa_assets_tests.oracle import DAILY_REVENUE

_UNITS_TWICE = """
from kappa_assets import gold
from kappa_assets.pipelines.retail import gold as retail
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.pipelines.retail.silver import sales

@gold(keys=["day", "country"], combine={"revenue": "sum", "units": "sum", "lines": "count"})
def daily_revenue(sales):
    return retail.daily_revenue(sales.withColumn("quantity", sales.quantity * 2))
"""


def test_a_plan_tells_what_it_costs_and_changes_nothing(shop: Kappa) -> None:
    before = sorted(shop.lake.rglob("*"))
    said = shop.run("replay", "--tables", "silver.sales", "--from-time", "2026-01-05", "--plan")
    assert said.exit_code == 0
    assert (
        "replay from the first batch with rows that arrived on 2026-01-05 or later: build silver.sales g2"
        in said.stdout
    )
    assert "that are free, takes unknown, nothing was measured yet" in said.stdout
    assert "dropped: nothing" in said.stdout
    rows = shop.rows("replay", "--tables", "silver.sales", "--plan")
    assert [row["tape_rows"] for row in rows] == [shop.expected.lines] * 4
    assert all(row["bytes_to_read"] > 0 and row["free_bytes"] > 0 and row["resumes"] is None for row in rows)
    assert sorted(shop.lake.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--from-version", "1", "--from-time", "2026-01-05"],
            "from_version 1 and from_time 2026-01-05 are both given",
        ),
        (["--to-version", "9"], "has no version 9; its newest is 1"),
        (["--from-time", "yesterday"], "'yesterday' is neither a day nor a moment"),
    ],
)
def test_a_range_that_cannot_be_is_refused_in_words(shop: Kappa, options: list[str], said: str) -> None:
    found = shop.run("replay", "--tables", "silver.sales", *options)
    assert found.exit_code == 1
    assert said in found.stderr


def test_a_validation_is_shown_table_by_table_and_never_promoted(own_shop: Kappa) -> None:
    assert "no replay was compared yet" in own_shop.run("compare").stderr
    (row,) = own_shop.rows("replay", "--tables", "gold.daily_revenue", "--to-version", "1", "--cores", "1")
    assert (row["state"], row["to"], row["changed"], row["release"]) == ("validated", "Bronze version 1", 0, None)
    listed = own_shop.run("releases").stderr
    assert f"replay {row['replay']} is validated: gold.daily_revenue g2 up to batch 0" in listed
    refused = own_shop.run("promote", row["replay"])
    assert refused.exit_code == 1
    assert "never goes live: it ends with to_version 1" in refused.stderr
    found = own_shop.rows("compare")
    assert {r["replay"] for r in found} == {row["replay"]}
    assert [r["table"] for r in found if r["what"] == "table"] == ["gold.daily_revenue"]
    totals = {r["measure"]: r["live"] for r in found if r["what"] == "slice"}
    column = DAILY_REVENUE.index("revenue")
    assert Decimal(totals["revenue"]) == sum(r[column] for r in own_shop.expected.daily_revenue)
    shown = own_shop.run("compare", row["replay"]).stdout
    assert f"replay {row['replay']}, up to version 1, validated: no fault found" in shown
    assert "a sample of what differs" in shown
    own_shop.rows("discard", row["replay"])


def test_limits_hold_a_replay_and_force_says_so_for_ever(own_shop: Kappa, pipeline_file: Callable[[str], str]) -> None:
    of = "--pipeline", pipeline_file(_UNITS_TWICE)
    units = [r[DAILY_REVENUE.index("units")] for r in own_shop.expected.daily_revenue]
    changed, total = sum(1 for u in units if u), len(units)
    held = own_shop.run("replay", *of, "--tables", "gold.daily_revenue", "--max-changed", "0.001", "--json")
    assert held.exit_code == 1
    assert f"gold.daily_revenue: {changed} of {total} keys changed" in held.stderr
    refused = own_shop.run("promote", *of)
    assert refused.exit_code == 1
    assert "kappa promote --force" in refused.stderr
    rows = own_shop.rows("compare", *of)
    assert [(r["column"], r["keys_changed"]) for r in rows if r["what"] == "column"] == [("units", changed)]
    sample = [r for r in rows if r["what"] == "sample"]
    assert 0 < len(sample) <= 20
    assert all(int(r["candidate"]) == 2 * int(r["live"]) for r in sample)
    (release,) = own_shop.rows("promote", *of, "--force")
    assert f"forced although gold.daily_revenue: {changed} of {total} keys changed" in release["reason"]
