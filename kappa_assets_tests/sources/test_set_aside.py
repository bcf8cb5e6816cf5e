"""The side table of a tape's files: what is set aside is there once, and what is put back is read once."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from kappa_assets import Files, bronze
from kappa_assets.errors import SourceError
from kappa_assets.faults import Point
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.files import set_aside
from kappa_assets.sources.files.inspect_files import SetAside
from kappa_assets.sources.files.patience import TRIES, Patience
from kappa_assets.sources.files.set_aside import SetAsideFiles
from kappa_assets.sources.ledger.ledger import Delivery
from kappa_assets.sources.source import Refused

ORDERS = bronze("orders", source=Files("orders", format="csv", header=True))
APP = "kappa/bronze.orders/g1/files:orders/some-checkpoint/rejects"
MODIFIED = 1_750_000_000


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing" / "orders"
    (folder / "north").mkdir(parents=True)
    return folder


def land(landing: Path, *names: str) -> None:
    for name in names:
        (landing / name).write_text("customer,amount\nanna,1\n")
        os.utime(landing / name, (MODIFIED, MODIFIED))


def broken(*names: str, was: Delivery | None = None) -> list[Refused]:
    return [Refused(name, "cannot be opened", was) for name in names]


def lying(landing: Path) -> list[str]:
    return sorted(str(p.relative_to(landing)) for p in landing.rglob("*") if p.is_file())


def test_a_repeated_batch_adds_to_what_its_earlier_try_set_aside_with_what_was_found(lake_path: Path) -> None:
    lake = Lake.at(lake_path)
    for batch, names in ((0, "a"), (3, "ab"), (3, "c"), (3, "d"), (4, "e"), (5, "")):
        found = [Delivery(f"{name}.csv", 7, 1_000, "hash") for name in names]
        aside = [refused for one in found for refused in broken(one.file, was=one)]
        SetAsideFiles(lake, ORDERS.name).add(APP, batch, aside)
    again = SetAsideFiles(lake, ORDERS.name).all()
    assert [(r.file, r.batch) for r in again] == [
        ("a.csv", 0), ("a.csv", 3), ("b.csv", 3), ("c.csv", 3), ("d.csv", 3), ("e.csv", 4),
    ]  # fmt: skip
    assert {(r.bytes, r.modified_ms, r.hash) for r in again} == {(7, 1_000, "hash")}


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("a.csv", ["a.retry-1.csv", "a.retry-2.csv"]),
        ("2026-01-05T101530.csv.gz", ["2026-01-05T101530.retry-1.csv.gz", "2026-01-05T101530.retry-2.csv.gz"]),
        ("north/2026-01-05.v2.csv", ["north/2026-01-05.v2.retry-1.csv", "north/2026-01-05.v2.retry-2.csv"]),
        ("orders", ["orders.retry-1", "orders.retry-2"]),
        ("x.gz", ["x.retry-1.gz", "x.retry-2.gz"]),
    ],
)
def test_a_file_is_put_back_under_a_name_never_used_that_keeps_date_ending_and_time(
    lake_path: Path, landing: Path, file: str, names: list[str]
) -> None:
    aside = SetAsideFiles(Lake.at(lake_path), ORDERS.name)
    aside.add(APP, 0, broken(file))
    for name in names:
        land(landing, file)
        assert aside.retry(landing, [file]) == {file: name}
        assert lying(landing) == [name]
        assert (landing / name).stat().st_mtime == MODIFIED
        (landing / name).unlink()
    assert [r.retried_as for r in aside.all()] == [names[-1]]


def test_all_files_that_still_lie_there_are_put_back_and_no_other(lake_path: Path, landing: Path) -> None:
    aside = SetAsideFiles(Lake.at(lake_path), ORDERS.name)
    land(landing, "good.csv", "bad.csv", "north/bad.csv", "bad.retry-1.csv")
    aside.add(APP, 0, broken("bad.csv", "gone.csv"))
    aside.add(APP, 1, broken("north/bad.csv"))
    assert aside.retry(landing) == {"bad.csv": "bad.retry-2.csv", "north/bad.csv": "north/bad.retry-1.csv"}
    assert lying(landing) == ["bad.retry-1.csv", "bad.retry-2.csv", "good.csv", "north/bad.retry-1.csv"]
    assert aside.retry(landing) == {}
    with pytest.raises(SourceError, match=r"'bad.csv' does not lie .*\nHint: It was put back as 'bad.retry-2.csv'"):
        aside.retry(landing, ["bad.csv"])
    land(landing, "bad.csv")
    for file, reason in (("good.csv", "was not set aside"), ("gone.csv", "does not lie in .*\nHint: Land it again")):
        with pytest.raises(SourceError, match=reason):
            aside.retry(landing, ["bad.csv", file])
    assert "bad.csv" in lying(landing), "one that cannot be put back keeps all where they are"


def test_a_side_table_of_an_earlier_version_is_read_and_widened(lake_path: Path, landing: Path) -> None:
    lake = Lake.at(lake_path)
    at = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    rows = pa.table({"file": ["old.csv"], "reason": ["cut off"], "batch": [7], "at": pa.array([at])})
    write_deltalake(lake.rejects(ORDERS.name), rows)
    aside = SetAsideFiles(lake, ORDERS.name)
    assert [(r.file, r.batch, r.retried_as) for r in aside.all()] == [("old.csv", 7, None)]
    land(landing, "old.csv")
    assert aside.retry(landing) == {"old.csv": "old.retry-1.csv"}
    assert [r.retried_as for r in SetAsideFiles(lake, ORDERS.name).all()] == ["old.retry-1.csv"]
    assert DeltaTable(lake.rejects(ORDERS.name)).to_pyarrow_table().num_rows == 2


RETRY_AND_DIE = """
import os, signal, sys
from pathlib import Path
from kappa_assets.faults import inject
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.sources.test_set_aside import ORDERS
from kappa_assets.sources.files import set_aside

place, lake, landing = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if place == "before the note":
    set_aside.SetAsideFiles.commit = die
elif place == "before the rename":
    inject(die)
else:
    renames = Path.rename
    Path.rename = lambda path, target: (renames(path, target), die())
set_aside.SetAsideFiles(Lake.at(lake), ORDERS.name).retry(Path(landing))
"""


@pytest.mark.parametrize("place", ["before the note", "before the rename", "after the rename"])
def test_a_kill_between_the_steps_of_a_retry_neither_loses_nor_doubles_a_file(
    lake_path: Path, landing: Path, place: str
) -> None:
    aside = SetAsideFiles(Lake.at(lake_path), ORDERS.name)
    land(landing, "bad.csv")
    aside.add(APP, 0, broken("bad.csv"))
    command = [sys.executable, "-c", RETRY_AND_DIE, place, str(lake_path), str(landing)]
    project = Path(__file__).parents[2]
    died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(project)}, cwd=project)
    assert died.returncode == -signal.SIGKILL
    between = lying(landing)
    assert between == (["bad.retry-1.csv"] if place == "after the rename" else ["bad.csv"])
    again = SetAsideFiles(Lake.at(lake_path), ORDERS.name)
    done = again.retry(landing)
    (left,) = lying(landing)
    if place == "after the rename":
        assert (done, left) == ({}, "bad.retry-1.csv"), "it was put back already: once, whoever asks again"
    else:
        assert done == {"bad.csv": left}
    assert again.all()[0].retried_as == left, "the side table tells under which name"


def test_every_step_of_a_retry_is_a_point_where_it_can_be_killed(
    lake_path: Path, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Point, str]] = []
    monkeypatch.setattr(set_aside, "fault_point", lambda point, what: seen.append((point, what)))
    aside = SetAsideFiles(Lake.at(lake_path), ORDERS.name)
    land(landing, "bad.csv")
    aside.add(APP, 0, broken("bad.csv"))
    aside.retry(landing)
    assert seen == [("retrying", "bronze.orders")]


def for_now(*names: str) -> list[SetAside]:
    return [SetAside(name, "cannot be opened: Permission denied", for_now=True) for name in names]


def test_a_batch_waits_for_an_unreadable_file_so_many_times_whoever_tries_it(tmp_path: Path) -> None:
    path = tmp_path / "unreadable_files.json"
    damaged = [SetAside("damaged.csv", "cannot be opened")]
    assert Patience(path).wait_for(4, damaged) == tuple(damaged)
    assert not path.exists()
    for number in range(1, TRIES):
        with pytest.raises(SourceError, match=rf"'a.csv' cannot be opened: .*\(try {number} of {TRIES}\)\nHint: Mend"):
            Patience(path).wait_for(5, [*damaged, *for_now("a.csv")])
    aside = Patience(path).wait_for(5, [*damaged, *for_now("a.csv")])
    assert [a.file for a in aside] == ["damaged.csv", "a.csv"]
    assert aside[1].reason == f"cannot be opened: Permission denied, in {TRIES} tries"
    with pytest.raises(SourceError, match=rf"'b.csv' .*\(try 1 of {TRIES}\)"):
        Patience(path).wait_for(5, for_now("a.csv", "b.csv"))
    with pytest.raises(SourceError, match=rf"'a.csv' .*\(try 1 of {TRIES}\), and 1 others"):
        Patience(path).wait_for(6, for_now("a.csv", "b.csv"))
