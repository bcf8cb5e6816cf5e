"""How far a build is, in words."""

from __future__ import annotations

import pytest

from kappa_assets.replay.tape_progress import progress_line


@pytest.mark.parametrize(
    ("before", "share", "seconds", "line"),
    [
        (0.0, 0.0, 5.0, "0 % of 1,000,000 rows"),
        (0.0, 0.25, 10.0, "25 % of 1,000,000 rows, 25,000 rows/s, about 30 s left"),
        (0.5, 0.75, 10.0, "75 % of 1,000,000 rows, 25,000 rows/s, about 10 s left"),
        (0.0, 1.0, 10.0, "100 % of 1,000,000 rows, 100,000 rows/s, about 0 s left"),
    ],
)
def test_progress_is_told_in_share_rate_and_time_left(before: float, share: float, seconds: float, line: str) -> None:
    assert progress_line(before, share, 1_000_000, seconds) == line
