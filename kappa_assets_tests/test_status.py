"""Positions and lag, on logs written by hand."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kappa_assets.host.host_status import HostStatus, QueryStatus, write_status
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.local.stored_table import LocalStoredTable
from kappa_assets.status import TableStatus, row_count, table_statuses
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, WrittenLake


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    return WrittenLake(lake_path)


def status_of(web: WrittenLake, table: object, now: dt.datetime | None = None) -> TableStatus:
    return next(s for s in table_statuses(web.lake, PIPELINE, now=now or web.now) if s.table == table)


def position_of(web: WrittenLake, table: object) -> Position:
    return status_of(web, table).position[str(CLICKS)]


def test_before_anything_landed_every_table_is_before_the_tape_and_has_no_lag(web: WrittenLake) -> None:
    for status in table_statuses(web.lake, PIPELINE):
        assert status.position == {str(CLICKS): BEFORE_THE_TAPE}
        assert (status.lag_batches, status.lag_seconds) == (0, 0.0)
        assert status.state == "stopped"


def test_a_table_reflects_what_its_last_commit_read(web: WrittenLake) -> None:
    web.read(VISITS, upto=web.land())
    assert position_of(web, VISITS) == Position(0, 1) == position_of(web, CLICKS)
    assert position_of(web, PAGES) == BEFORE_THE_TAPE


def test_lag_counts_from_the_oldest_batch_that_is_not_in(web: WrittenLake) -> None:
    web.read(VISITS, upto=web.land())
    web.land()
    oldest = web.now
    web.land()
    status = status_of(web, VISITS, now=oldest + dt.timedelta(seconds=90))
    assert (status.lag_batches, status.lag_seconds) == (2, 90.0)
    assert status.head == {str(CLICKS): Position(2, 3)}


def test_a_batch_without_rows_is_not_waited_for(web: WrittenLake) -> None:
    web.read(VISITS, upto=web.land())
    web.land(rows=0)
    status = status_of(web, VISITS)
    assert (status.position[str(CLICKS)], status.lag_batches) == (Position(1, 2), 0)


def test_a_batch_whose_rows_were_all_rejected_does_not_hold_gold_back(web: WrittenLake) -> None:
    web.read(PAGES, upto=web.read(VISITS, upto=web.land()))
    web.read(VISITS, upto=web.land(), since=1, rows=0)
    assert position_of(web, PAGES) == Position(1, 2)


def test_after_such_a_batch_gold_is_behind_by_the_next_one_alone(web: WrittenLake) -> None:
    web.read(PAGES, upto=web.read(VISITS, upto=web.land()))
    web.read(VISITS, upto=web.land(), since=1, rows=0)
    web.read(VISITS, upto=web.land(), since=2)
    status = status_of(web, PAGES)
    assert (status.position[str(CLICKS)], status.lag_batches) == (Position(1, 2), 1)


def test_compaction_of_the_upstream_is_nothing_to_catch_up_with(web: WrittenLake) -> None:
    web.read(VISITS, upto=web.land())
    web.commit(CLICKS, None, add={"2026-03-01": 3}, remove=True, data_change=False, operation="OPTIMIZE")
    assert status_of(web, VISITS).lag_batches == 0


def test_the_words_of_a_host_that_is_gone_are_not_repeated(web: WrittenLake) -> None:
    moment = dt.datetime.now(dt.UTC).isoformat()
    running = QueryStatus(str(VISITS), 1, "running", batch=4)
    HOST.lock(web.lake).parent.mkdir(parents=True)
    write_status(web.lake, HostStatus(os.getpid(), "stream", moment, moment, 1, (running,)))
    assert status_of(web, VISITS).state == "stopped"
    with exclusive(HOST.lock(web.lake), "stream"):
        assert status_of(web, VISITS).query == running
        write_status(web.lake, HostStatus(os.getpid() + 1, "stream", moment, moment, 1, (running,)))
        assert status_of(web, VISITS).state == "stopped"


def test_rows_are_counted_where_a_file_has_no_statistics(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"a": [1, 2, 3]}))
    assert row_count(LocalStoredTable(tmp_path), 0) == 3
    log = tmp_path / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        action.get("add", {}).pop("stats", None)
    log.write_text("\n".join(json.dumps(a) for a in actions))
    assert row_count(LocalStoredTable(tmp_path), 0) == 3
