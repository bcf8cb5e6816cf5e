"""Whatever happens to a lake, and whatever its clock says: what somebody needs stays, and what nobody needs goes."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets.place.local.upkeep import unneeded
from kappa_assets_tests.maintenance.clocked_lake import WHOLE, WITHOUT_GOLD, ClockedLake
from kappa_assets_tests.written_logs import CLICKS, PAGES, VISITS

Step = tuple[Any, ...]
"""A method of the lake, and what it is called with."""

DERIVED = st.sampled_from([VISITS, PAGES])
ANY = st.sampled_from([CLICKS, VISITS, PAGES])
STEPS = st.one_of(
    st.just(("land",)),
    st.tuples(st.just("read"), DERIVED, st.sampled_from(["live", "candidate"])),
    st.tuples(st.just("rewrite"), ANY, st.sampled_from(["optimize", "repair"])),
    st.tuples(st.just("begin_to_write"), ANY),
    st.tuples(st.just("checkpoint"), ANY),
    st.sampled_from([("replay",), ("keep_rows",)]),
    st.tuples(st.just("settle_replay"), st.sampled_from(["hold", "promote", "promote", "discard"])),
    st.tuples(st.just("select"), st.integers(1, 3)),
    st.tuples(st.just("step_clock"), st.sampled_from([-400.0, -30.0, -8.0, -0.3, 0.3, 8.0, 30.0, 400.0])),
    st.tuples(st.just("maintain"), st.sampled_from([WHOLE, WITHOUT_GOLD])),
)


def do(lake: ClockedLake, step: Step) -> None:
    name, *facts = step
    getattr(lake, name)(*facts)
    if name in ("maintain", "settle_replay"):
        lake.check_needed()


LATE_START: list[Step] = [
    ("land",),
    ("read", VISITS, "live"),
    ("replay",),
    ("step_clock", 30.0),
    ("maintain", WHOLE),
    ("keep_rows",),
]
GOLD_BEHIND: list[Step] = [
    *[("land",), ("read", VISITS, "live"), ("read", PAGES, "live")],
    *[("land",), ("read", VISITS, "live")] * 3,
    *[("rewrite", VISITS, "optimize"), ("rewrite", CLICKS, "optimize"), ("checkpoint", VISITS)],
    *[("step_clock", 30.0), ("maintain", WITHOUT_GOLD)],
]
BACK_AND_FORTH: list[Step] = [
    *[("land",), ("read", VISITS, "live"), ("read", PAGES, "live"), ("replay",), ("keep_rows",)],
    *[("read", VISITS, "candidate"), ("settle_replay", "promote"), ("select", 1), ("land",), ("step_clock", 400.0)],
    *[("read", VISITS, "live"), ("rewrite", VISITS, "repair"), ("step_clock", -400.0), ("maintain", WHOLE)],
    *[("select", 2), ("step_clock", 400.0), ("maintain", WHOLE)],
]

ROLLED_BACK: list[Step] = [
    *[("land",), ("read", VISITS, "live"), ("replay",), ("keep_rows",), ("settle_replay", "promote"), ("select", 1)],
    ("maintain", WHOLE),
]


@settings(max_examples=25)
@given(st.lists(STEPS, min_size=8, max_size=40))
@example(LATE_START)
@example(GOLD_BEHIND)
@example(BACK_AND_FORTH)
@example(ROLLED_BACK)
def test_what_is_needed_stays_and_all_else_goes_in_the_end(tmp_path: Path, steps: list[Step]) -> None:
    lake = ClockedLake(Path(mkdtemp(dir=tmp_path)) / "lake")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unneeded, "last_change", lake.last_change)
        for step in steps:
            do(lake, step)
        lake.check_needed()
        lake.settle_replay("discard")
        for table in (VISITS, PAGES):
            lake.read(table, "live")
        lake.step_clock((lake.latest - lake.clock).days + 40)
        for _ in range(2):  # the first says that generations expire and removes what the second need not look at
            lake.maintain(WHOLE)
        lake.check_needed()
        lake.check_nothing_else()
