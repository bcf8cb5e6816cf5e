"""The slices that Dagster shows of the demo begin with the first one that is ever delivered."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from kappa_assets.demo.feed import STATE, month_begins, next_delivery

NOW = dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)
LATER = (NOW + dt.timedelta(days=40)).date()


@pytest.mark.parametrize("deliveries", [1, 20, 22])
def test_the_month_begins_with_the_first_delivery_and_stays_there(tmp_path: Path, deliveries: int) -> None:
    expected = month_begins(tmp_path, NOW.date())
    assert list(tmp_path.iterdir()) == [], "a look makes nothing"
    files = [next_delivery(tmp_path, now=NOW) for _ in range(deliveries)]
    first = files[0]
    assert first is not None
    assert first.name.removesuffix(".csv.gz") == expected.isoformat() == month_begins(tmp_path, LATER).isoformat()
    (tmp_path / STATE).unlink()
    assert month_begins(tmp_path, LATER) == expected, "the files tell it, too"
    (tmp_path / STATE).write_text("nonsense")
    assert month_begins(tmp_path, NOW.date()) == expected
