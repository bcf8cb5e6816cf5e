"""Several sources on one tape: one order, each told apart, added while it runs, retired, killed with both at work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Files, bronze
from kappa_assets.cli import main
from kappa_assets.errors import DeclarationError, TapeGap
from kappa_assets.host.host import Host
from kappa_assets.host.host_status import HostStatus, QueryStatus
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.tape.tape_checkpoint import is_on_tape, next_ranges
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import notes_back
from kappa_assets.log.note import INCARNATION, RANGES, CommitNote
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.source import Offsets, Range, Source
from kappa_assets.sources.standings import Standing, carried_on, standing_of, unnamed
from kappa_assets_tests.sources.two_folders import ARCHIVE, LIVE, paid, pipeline_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[2]
SHOP = """
from kappa_assets_tests.sources.two_folders import ARCHIVE, LIVE, pipeline_of
shop = pipeline_of(LIVE, ARCHIVE)
"""


class Shop:
    """A lake whose one tape is read from one or two folders."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.root = root
        for folder in ("live", "archive"):
            (root / "landing" / folder).mkdir(parents=True)
        self.setting = Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(landed_files=10))
        self.name = pipeline_of(LIVE).bronzes[0].name
        (root / "shop.py").write_text(SHOP)

    def land(self, file: str, content: str) -> None:
        (self.root / "landing" / file).write_text(content)

    def drain(self, *sources: Files) -> None:
        Host(self.setting, pipeline_of(*sources)).drain()

    def rows(self) -> list[tuple[str | None, str, str]]:
        """Return source, file and customer of every row of the tape."""
        found = DeltaTable(self.setting.lake.folder(self.name)).to_pyarrow_table().to_pylist()
        return sorted(((r["_source"].get("name"), r["_source"]["file"], r["customer"]) for r in found), key=str)

    def below(self) -> list[str]:
        folder = self.setting.lake.link(paid.name).resolve()
        return sorted(map(str, DeltaTable(folder).to_pyarrow_table().column("customer").to_pylist()))

    def notes(self) -> list[CommitNote]:
        found = notes_back(self.setting.lake.folder(self.name))
        return [note for _, note in found if note.tape_batch is not None][::-1]

    def kappa(self, *arguments: str) -> list[dict[str, Any]]:
        places = ["--lake", self.root / "lake", "--landing", self.root / "landing", "--pipeline", self.root / "shop.py"]
        result = CliRunner().invoke(main, [*arguments, *map(str, places), "--json"])
        assert result.exit_code == 0, result.output
        told: list[dict[str, Any]] = json.loads(result.stdout)
        return told


def test_a_source_is_added_to_a_tape_that_has_run_told_apart_and_retired(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path)
    shop.land("live/a.csv", "customer\nanna\n")
    shop.drain(LIVE)
    (first,) = shop.notes()
    ledgers = shop.setting.lake.ledger(shop.name).parent

    # The same name, size and time in the other folder: other bytes, and no delivery that the tape has.
    shop.land("archive/a.csv", "customer\nberta\n")
    shop.land("archive/b.csv", "customer\ncarl\n")
    shop.land("archive/bad.csv", "\x00\x01")
    shop.land("live/bad.csv", "\x00\x02")
    shop.drain(LIVE, ARCHIVE)
    assert shop.rows() == [
        ("files:archive", "a.csv", "berta"),
        ("files:archive", "b.csv", "carl"),
        (None, "a.csv", "anna"),
    ]
    told = {(row["source"], row["file"]): row["state"] for row in shop.kappa("deliveries", "bronze.orders")}
    taken, aside = "on the tape", "set aside"
    assert told == {
        ("files:live", "a.csv"): taken, ("files:live", "bad.csv"): aside,
        ("files:archive", "a.csv"): taken, ("files:archive", "b.csv"): taken, ("files:archive", "bad.csv"): aside,
    }  # fmt: skip
    assert [r["file"] for r in shop.kappa("deliveries", "bronze.orders", "--source", "files:live")] == [
        "a.csv",
        "bad.csv",
    ]
    assert {r["source"] for r in shop.kappa("rejects", "bronze.orders")} == {"files:live", "files:archive"}
    shop.land("archive/bad.csv", "customer\ndora\n")
    put_back = shop.kappa("deliveries", "bronze.orders", "--again", "--source", "files:archive", "--file", "bad.csv")
    assert put_back == [{"source": "files:archive", "file": "bad.csv", "retried_as": "bad.retry-1.csv"}]

    # What the tape holds of each source is known without the ledgers, and without the archive's checkpoint.
    shutil.rmtree(ledgers)
    shutil.rmtree(shop.setting.lake.checkpoint(shop.name) / "files_archive")
    shop.land("live/c.csv", "customer\nemil\n")
    shop.drain(LIVE, ARCHIVE)
    assert [customer for *_, customer in shop.rows()] == ["berta", "carl", "dora", "emil", "anna"]
    live = [note for note in shop.notes() if note.source["name"] == "files:live"]
    assert {note.checkpoint for note in live} == {first.checkpoint}, "the one it had before there were several"
    assert [note.tape_batch for note in shop.notes()] == list(range(len(shop.notes())))

    # Retired: the tape goes on, and what the other folder gets is not read; taken up again, only that is.
    shop.land("archive/d.csv", "customer\nfritz\n")
    shop.land("live/e.csv", "customer\ngerda\n")
    shop.drain(LIVE)
    assert ("files:live", "e.csv", "gerda") in shop.rows()
    assert "fritz" not in shop.below()
    shop.drain(ARCHIVE, LIVE)
    shop.drain(ARCHIVE, LIVE)
    assert shop.below() == ["anna", "berta", "carl", "dora", "emil", "fritz", "gerda"]


@pytest.mark.slow
def test_a_host_that_dies_with_two_sources_at_work_loses_and_doubles_nothing(
    spark: SparkSession, tmp_path: Path
) -> None:
    """It dies in the third batch of the tape, which is on it and not in the log of its source's checkpoint."""
    shop = Shop(spark, tmp_path)
    for number in range(4):
        for folder in ("live", "archive"):
            shop.land(f"{folder}/{number}.csv", f"customer\n{folder}{number}\n")
    command = [sys.executable, "-m", "kappa_assets_tests.sources.two_folders", str(tmp_path), "after_commit", "3"]
    died = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]
    shop.drain(LIVE, ARCHIVE)
    expected = [(f"files:{f}", f"{n}.csv", f"{f}{n}") for f in ("archive", "live") for n in range(4)]
    assert shop.rows() == expected
    assert shop.below() == [customer for *_, customer in expected]
    assert [note.tape_batch for note in shop.notes()] == list(range(len(shop.notes())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a source; got none"),
        ({"sources": []}, "needs a source; got none"),
        ({"sources": [LIVE, "archive"]}, "needs a source; got str"),
        ({"source": LIVE, "sources": [ARCHIVE]}, "takes source= or sources="),
        ({"sources": LIVE}, "takes source= or sources=, a list; got Files"),
        ({"sources": "live"}, "takes source= or sources=, a list; got str"),
        ({"sources": [LIVE, Files("live")]}, "files of 'live' and 'live' would be read twice"),
        ({"sources": [Files("shop/live"), Files("shop")]}, "files of 'shop/live' and 'shop' would be read twice"),
    ],
)
def test_sources_that_cannot_be_are_refused_at_their_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=rf"test_several_sources.py:\d+: .*{message}"):
        bronze("orders", **options)


def test_a_folder_that_does_not_look_into_its_subfolders_may_hold_another_source() -> None:
    inner, outer = Files("shop/live"), Files("shop", recursive=False)
    assert bronze("orders", sources=[inner, outer]).sources == (inner, outer)
    assert bronze("orders", sources=[outer, inner]).sources == (outer, inner)


def test_of_a_tape_with_several_sources_the_one_that_does_worst_is_what_the_table_does() -> None:
    queries = [QueryStatus("bronze.orders", 1, state, source=state) for state in ("running", "parked", "waiting")]
    host = HostStatus(1, "stream", "now", "then", 1, (*queries, QueryStatus("silver.paid", 1, "running")))
    assert [query.state for name in ("bronze.orders", "silver.paid") if (query := host.query(name))] == [
        "parked",
        "running",
    ]
    assert host.query("gold.none") is None


# --- any order of commits, without Spark -----------------------------------------------------------------------------
LABELS = ("files:a", "numbers:b", "numbers:c")


@dataclass
class Model:
    """What was done to a tape, kept apart for each source."""

    newest: CommitNote | None = None
    standings: dict[str, Standing] = field(default_factory=dict)
    first: str | None = None
    """Whose are the rows that name no source."""
    several: bool = False

    def commit(
        self,
        label: str,
        checkpoint: str,
        ranges: dict[str, tuple[int, int]],
        incarnation: str | None,
        *,
        others: bool,
    ) -> None:
        """As TapeQuery's note: `others`, whether the pipeline that commits declares several."""
        source: dict[str, Any] = {"name": label} | ({RANGES: ranges} if ranges else {})
        source |= {INCARNATION: incarnation} if incarnation else {}
        if others or self.several:
            source |= carried_on(self.newest, label)
            self.several = True
        before = self.standings.get(label)
        batch = before.batch + 1 if before is not None and before.checkpoint == checkpoint else 0
        note = CommitNote("bronze.t", 1, batch, "", tape_batch=1, source=source, checkpoint=checkpoint)
        self.newest = CommitNote.from_json(note.to_json())
        as_json: Any = {part: [*one] for part, one in ranges.items()}
        self.standings[label] = Standing(batch, checkpoint, as_json, incarnation)
        self.first = self.first or (label if not self.several else None)


class Told(Source):
    """A source that says of a batch what it is told."""

    def __init__(self, ranges: dict[str, Range]) -> None:
        self._ranges = ranges

    def stream(self, *_: Any) -> Any: ...

    def read(self, *_: Any) -> Any: ...

    def ranges(self, offsets: Offsets) -> dict[str, Range]:
        return self._ranges


@given(st.data())
def test_the_newest_note_alone_tells_how_far_the_tape_is_with_every_source(data: st.DataObject) -> None:
    """Sources are added, retired and taken up again; checkpoints are lost; notes but the newest are cleaned away."""
    model, declared = Model(), [LABELS[0]]
    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.booleans()):
            chosen = data.draw(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
            # A lone source that is called otherwise from one day to the next counts as the same: not modelled here.
            declared = chosen if model.several or LABELS[0] in chosen else declared
        label = data.draw(st.sampled_from(declared))
        if not model.several and len(declared) == 1 and label != LABELS[0]:
            continue
        stands = {} if (told := model.standings.get(label)) is None else told.stands
        since = stands.get("p", 0)
        ranges = {} if label.startswith("files") else {"p": (since, since + data.draw(st.integers(0, 3)))}
        checkpoint = data.draw(st.sampled_from(("one", "two")))
        incarnation = data.draw(st.sampled_from((None, "x", "y"))) if ranges else None
        model.commit(label, checkpoint, ranges, incarnation, others=len(declared) > 1)
        for each in LABELS:
            assert standing_of(model.newest, each) == model.standings.get(each)
            standing = standing_of(model.newest, each)
            for number in range(4):
                on = standing is not None and standing.checkpoint == "one" and number <= standing.batch
                assert is_on_tape(number, "one", standing) == on
        assert unnamed(model.newest) == model.first


@given(
    st.dictionaries(st.sampled_from("pqr"), st.integers(0, 5)),
    st.dictionaries(st.sampled_from("pqr"), st.tuples(st.integers(0, 6), st.integers(0, 6))),
)
def test_a_batch_is_taken_exactly_where_its_ranges_go_on_where_the_tape_stands(
    stands: dict[str, int], given_ranges: dict[str, tuple[int, int]]
) -> None:
    ranges = {part: Range(*one) for part, one in given_ranges.items()}
    offsets = Offsets(Checkpoint(Path("nowhere")), 7, stands)
    goes_on = stands.keys() <= ranges.keys() and all(
        since <= until and since == stands.get(part, since) for part, (since, until) in ranges.items()
    )
    if goes_on:
        assert next_ranges("bronze.t", Told(ranges), offsets) == ranges
        return
    with pytest.raises(TapeGap, match=r"batch 7 of bronze\.t"):
        next_ranges("bronze.t", Told(ranges), offsets)
