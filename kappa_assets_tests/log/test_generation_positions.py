"""Plan, repair and promotion give one answer to how far a table is: commits without rows behind it count as read."""

from __future__ import annotations

import datetime as dt
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from kappa_assets.errors import ReplayError
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.registry import Registry
from kappa_assets.repair import plan_repair
from kappa_assets.replay import plan_replay
from kappa_assets.replay.promote import _behind
from kappa_assets_tests.written_logs import CLICKS, PIPELINE, VISITS, WrittenLake

START = 4
"""The batch that a replay begins with, which brought rows; before it come batches with and without."""


@pytest.mark.parametrize("between", list(product((0, 3), repeat=START - 1)))
def test_plan_repair_and_promotion_agree_on_a_table_behind_which_batches_without_rows_lie(
    lake_path: Path, between: tuple[int, ...]
) -> None:
    web = WrittenLake(lake_path)
    for rows in (3, *between, 3):
        version = web.land(rows)
        (web.lake.folder(CLICKS) / f"{version}-2026-03-01.parquet").touch()  # a plan sees that they are there
    web.read(VISITS, upto=1)
    state = Registry(web.lake).state()
    reached = live_position(web.lake, state, VISITS, Tape(web.lake, CLICKS))
    first_unread = next((n for n, rows in enumerate(between, 1) if rows), START)
    assert reached == Position(first_unread - 1, first_unread)

    assert plan_repair(web.lake, PIPELINE, VISITS, [dt.date(2026, 3, 1)]).upto == reached
    accepted = []
    for batch in range(1, START + 1):
        with suppress(ReplayError):
            step = plan_replay(web.lake, PIPELINE, [VISITS], from_version=batch + 1).steps[0]
            assert (step.from_batch, step.kept_from) == (batch, 1)
            accepted.append(batch)
    assert accepted == list(range(1, first_unread + 1))

    # The same table as a candidate, beside a live one that has read all that lies before the start.
    shutil.copytree(web.lake.folder(VISITS), web.lake.folder(VISITS, 2))
    web.read(VISITS, upto=START, since=1)
    live = state.live(VISITS)
    assert live is not None
    behind = _behind(web.lake, PIPELINE, state, [replace(live, number=2)])
    assert (behind == []) == (START in accepted)
