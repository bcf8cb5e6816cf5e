"""What a Bronze batch does with files that cannot be read now, vanish, or are judged otherwise when it is repeated."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from kappa_assets import Files, bronze
from kappa_assets.cli import main
from kappa_assets.errors import SourceError
from kappa_assets.kinds.query import Setting
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.note import IMPLAUSIBLE
from kappa_assets.log.tape import Tape
from kappa_assets.place.local import change_rows, local_table
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.files import inspect_files, patience
from kappa_assets.sources.files.landed_files import LandedFiles
from kappa_assets.sources.files.landed_text import check_text
from kappa_assets.sources.files.set_aside import SetAsideFiles
from kappa_assets.sources.ledger.ledger import hash_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ORDERS = bronze("orders", source=Files("orders", format="csv", header=True))
NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
DAMAGED = b"\x00\x01\x02"
PIPELINE = """
from kappa_assets import Files, bronze
orders = bronze("orders", source=Files("orders", format="csv", header=True))
"""


class Died(BaseException):
    """The process ends here."""


class Shop:
    """A Bronze table whose micro-batches a test gives by hand, as Spark gives them: the same again after a failure."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self._spark = spark
        self.root = root
        self.lake = Lake.at(root / "lake")
        self.folder = root / "landing" / "orders"
        (self.folder / "north").mkdir(parents=True)
        (root / "shop.py").write_text(PIPELINE)
        checkpoint = self.query().checkpoint.path
        checkpoint.mkdir(parents=True)
        (checkpoint / "metadata").write_text('{"id": "c1"}')

    def query(self) -> TapeQuery:
        """Return the query of a host that starts now."""
        setting = Setting(self._spark, self.lake, self.root / "landing")
        return TapeQuery(setting, ORDERS, Tape(self.lake, ORDERS.name), clock=lambda: NOW)

    def land(self, name: str, content: bytes | None = None, *, at: dt.datetime = NOW) -> None:
        """Write a file with one row, whose `id` is the file's name, or with other content."""
        path = self.folder / name
        path.write_bytes(f"id\n{name}\n".encode() if content is None else content)
        os.utime(path, (at.timestamp(), at.timestamp()))

    def batch(self, number: int, *names: str, query: TapeQuery | None = None) -> None:
        plan = self.query().checkpoint.path / "deliveries" / f"{number}.json"
        plan.parent.mkdir(exist_ok=True)
        plan.write_text(json.dumps({"files": names}))
        (query or self.query()).apply(self._spark.createDataFrame([(f"file:{plan}",)], "path string"), number)

    @property
    def tape(self) -> list[str]:
        """The ids on the tape, each as often as it is there."""
        if not (self.lake.folder(ORDERS.name) / "_delta_log").exists():
            return []
        return sorted(DeltaTable(self.lake.folder(ORDERS.name)).to_pyarrow_table().column("id").to_pylist())

    def kappa(self, *arguments: str) -> list[dict[str, str]]:
        places = ["--lake", self.lake.root, "--landing", self.root / "landing", "--pipeline", self.root / "shop.py"]
        result = CliRunner().invoke(main, [*arguments, *map(str, places), "--json"])
        assert result.exit_code == 0, result.stderr
        found: list[dict[str, str]] = json.loads(result.stdout)
        return found

    @property
    def aside(self) -> dict[str, str]:
        rows = self.kappa("rejects", "bronze.orders")
        assert len({row["file"] for row in rows}) == len(rows), "each file is there once"
        return {row["file"]: row["reason"] for row in rows}


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that cannot be opened: the tests run as root, who may read all."""
    names: set[str] = set()

    def checked(source: Files, path: Path) -> tuple[str, ...] | None:
        if path.name in names:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return check_text(source, path)

    monkeypatch.setattr(inspect_files, "check_text", checked)
    return names


def test_a_file_that_cannot_be_read_for_a_moment_keeps_its_batch_waiting_and_is_read(
    shop: Shop, unreadable: set[str]
) -> None:
    for name in ("a.csv", "b.csv"):
        shop.land(name)
    unreadable.add("a.csv")
    for _ in range(3):
        with pytest.raises(SourceError, match=r"a.csv' cannot be opened: .*Permission denied"):
            shop.batch(0, "a.csv", "b.csv")
    assert (shop.tape, shop.aside) == ([], {})
    unreadable.clear()
    shop.batch(0, "a.csv", "b.csv")
    assert (shop.tape, shop.aside) == (["a.csv", "b.csv"], {})


def test_a_file_that_stays_unreadable_is_set_aside_alone_and_taken_when_it_is_asked_for(
    shop: Shop, unreadable: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "TRIES", 3)
    for name in ("a.csv", "2026-03-09.csv"):
        shop.land(name)
    unreadable.add("2026-03-09.csv")
    for _ in range(2):
        with pytest.raises(SourceError):
            shop.batch(0, "a.csv", "2026-03-09.csv")
    shop.batch(0, "a.csv", "2026-03-09.csv")
    assert shop.tape == ["a.csv"]
    assert "in 3 tries" in shop.aside["2026-03-09.csv"]

    unreadable.clear()
    (taken,) = shop.kappa("deliveries", "bronze.orders", "--again")
    assert taken == {"file": "2026-03-09.csv", "retried_as": "2026-03-09.retry-1.csv"}
    shop.batch(1, taken["retried_as"])
    assert shop.tape == ["2026-03-09.csv", "a.csv"]
    rows = DeltaTable(shop.lake.folder(ORDERS.name)).to_pyarrow_table().to_pylist()
    assert {r["_arrival_date"] for r in rows if r["id"] != "a.csv"} == {dt.date(2026, 3, 9)}
    assert shop.kappa("deliveries", "bronze.orders", "--again") == []
    assert shop.kappa("rejects", "bronze.orders")[0]["retried_as"] == taken["retried_as"]


def test_a_set_aside_file_that_a_new_checkpoint_has_read_is_not_taken_twice(shop: Shop) -> None:
    shop.land("a.csv", DAMAGED)
    shop.land("other.csv")
    shop.batch(0, "a.csv", "other.csv")
    shop.land("a.csv")
    shop.batch(1, "a.csv")  # the checkpoint was lost, so that Spark gives the file a second time
    assert shop.tape == ["a.csv", "other.csv"]
    assert shop.kappa("deliveries", "bronze.orders", "--again") == []
    with pytest.raises(SourceError, match=r"'a.csv' is on the tape of bronze.orders"):
        SetAsideFiles(shop.lake, ORDERS.name).retry(shop.folder, ["a.csv"])
    shop.land("a.csv", at=NOW + dt.timedelta(seconds=1))
    assert [row["file"] for row in shop.kappa("deliveries", "bronze.orders", "--again")] == ["a.csv"], (
        "another file of this name"
    )


def mended(shop: Shop) -> None:
    shop.land("bad.csv")


def gone(shop: Shop) -> None:
    (shop.folder / "good.csv").unlink()


def damaged(shop: Shop) -> None:
    shop.land("good.csv", DAMAGED)


@pytest.mark.parametrize(
    ("meanwhile", "tape", "aside", "counted"),
    [
        (mended, ["bad.csv", "good.csv", "other.csv"], {"bad.csv"}, 0),
        (damaged, ["other.csv"], {"bad.csv", "good.csv"}, 2),
        (gone, ["other.csv"], {"bad.csv"}, 1),
    ],
    ids=["a file set aside is sound now: other bytes", "a sound file is damaged", "a sound file is gone"],
)
def test_a_batch_that_is_repeated_puts_each_delivery_on_one_side(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Shop], None],
    tape: list[str],
    aside: set[str],
    counted: int,
) -> None:
    """A crash between the commit of what is set aside and that of the rows; the files change before the next try."""
    shop.land("bad.csv", DAMAGED)
    shop.land("good.csv")
    shop.land("other.csv")

    def die(point: str, _: str) -> None:
        if point == "after_rejects":
            raise Died

    with monkeypatch.context() as patched:
        patched.setattr(local_table, "fault_point", die)
        with pytest.raises(Died):
            shop.batch(0, "bad.csv", "good.csv", "other.csv")
    assert (shop.tape, set(shop.aside)) == ([], {"bad.csv"})
    meanwhile(shop)
    shop.batch(0, "bad.csv", "good.csv", "other.csv")
    assert (shop.tape, set(shop.aside)) == (tape, aside)
    found = last_note(shop.lake.folder(ORDERS.name))
    assert found is not None
    assert found[1].source["set_aside"] == counted
    shop.batch(0, "bad.csv", "good.csv", "other.csv")
    assert (shop.tape, set(shop.aside)) == (tape, aside)


def test_a_file_that_is_written_again_while_it_is_read_is_on_the_tape_as_one_delivery(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.land("a.csv")
    shop.land("b.csv")
    write, tries = change_rows.write_files, list[int]()  # type: ignore[attr-defined]  # the module's own import

    def then_write_again(*args: Any, **options: Any) -> Any:
        written = write(*args, **options)
        if len(tries) < 2:
            tries.append(1)
            shop.land("a.csv", f"id\nnew-{len(tries)}\n".encode(), at=NOW + dt.timedelta(seconds=len(tries)))
        return written

    monkeypatch.setattr(change_rows, "write_files", then_write_again)
    for number in range(2):
        with pytest.raises(
            SourceError, match=rf"a.csv' was written again while it was read \(try {number + 1} of 20\)"
        ):
            shop.batch(0, "a.csv", "b.csv")
        assert shop.tape == []
    shop.batch(0, "a.csv", "b.csv")
    assert (shop.tape, set(shop.aside)) == (["b.csv", "new-2"], set())


def test_a_file_server_whose_clock_is_ahead_makes_nothing_implausible(shop: Shop) -> None:
    ahead = NOW + dt.timedelta(milliseconds=50)
    shop.land("a.csv", at=ahead)
    shop.land("2026-03-11.csv", at=ahead)
    shop.land("2300.csv", at=NOW.replace(year=2300))
    shop.batch(0, "a.csv", "2026-03-11.csv", "2300.csv")
    rows = DeltaTable(shop.lake.folder(ORDERS.name)).to_pyarrow_table().to_pylist()
    assert {r["id"]: r["_arrived_at"] for r in rows} == {
        "a.csv": NOW,
        "2026-03-11.csv": dt.datetime(2026, 3, 11, tzinfo=dt.UTC),
        "2300.csv": NOW,
    }
    found = last_note(shop.lake.folder(ORDERS.name))
    assert found is not None
    assert found[1].source[IMPLAUSIBLE] == 1


def test_files_of_one_name_in_two_folders_are_told_apart_on_the_tape_aside_and_in_the_check(shop: Shop) -> None:
    shop.land("a.csv")
    shop.land("north/a.csv", b"id\nnorth\n")
    shop.land("north/bad.csv", DAMAGED)
    shop.batch(0, "a.csv", "north/a.csv", "north/bad.csv")
    rows = DeltaTable(shop.lake.folder(ORDERS.name)).to_pyarrow_table().to_pylist()
    assert {r["_source"]["file"]: r["id"] for r in rows} == {"a.csv": "a.csv", "north/a.csv": "north"}
    assert set(shop.aside) == {"north/bad.csv"}
    told = {row["file"]: (row["state"], str(row["batch"])) for row in shop.kappa("deliveries", "bronze.orders")}
    taken = ("on the tape", "0")
    assert told == {"a.csv": taken, "north/a.csv": taken, "north/bad.csv": ("set aside", "None")}
    (only,) = shop.kappa("deliveries", "bronze.orders", "--file", "north/b*")
    assert only["hash"] == hash_of(shop.folder / "north/bad.csv")
    landed = LandedFiles(shop.folder)
    landed.add(commits(shop.lake.folder(ORDERS.name)))
    assert landed.changed({"north/bad.csv"}) == []
    shop.land("north/a.csv", b"id\nsouth\n", at=NOW + dt.timedelta(seconds=1))
    assert [row["file"] for row in landed.changed({"north/bad.csv"})] == ["north/a.csv"]
