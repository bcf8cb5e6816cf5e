"""What becomes of rows that fail an expectation: the same live, repaired and replayed, however the rows come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, silver
from kappa_assets.declare.tables import Expectation, OnFail, Silver
from kappa_assets.errors import ExpectationFailed
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import DROPPED, GIVEN, QUARANTINED, CommitNote
from kappa_assets.place.local import local_table
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import plan_repair, run_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.conftest import WALKED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

orders = bronze("orders", source=Files("orders", format="csv", header=True))

Verdict = Literal[1, 0] | None
"""Whether a row meets a condition; None: the condition gives null."""
Order = tuple[Verdict, Verdict, Verdict, int]
"""Whether it meets what warns, drops and quarantines, and how many rows the function gives of it."""


def _logic(orders: DataFrame) -> DataFrame:
    numbers = [F.col(name).cast("int").alias(name) for name in ("w", "d", "q", "f")]
    copies = F.explode(F.array_repeat(F.lit("x"), F.col("n").cast("int"))).alias("copy")
    return orders.select(*numbers, copies, *LINEAGE)


RULES = (
    expect("warned", "w > 0", on_fail="warn"),
    expect("dropped", "d > 0", on_fail="drop"),
    expect("held", "q > 0", on_fail="quarantine"),
)


def silver_of(*rules: Any, **options: Any) -> Silver:
    def sold(orders: DataFrame) -> DataFrame:
        """Rows that say themselves which expectations they meet, each as often as it says."""
        return _logic(orders)

    return silver(expect=list(rules), **options)(sold)


def shop(*rules: Any, **options: Any) -> Pipeline:
    return Pipeline.from_tables("shop", [orders, silver_of(*rules, **options)])


SOLD = silver_of().name


class Scene:
    """A lake whose landing folder gets a file a batch."""

    def __init__(self, spark: SparkSession, folder: Path, batches: Sequence[Sequence[Order]]) -> None:
        self.landing = folder / "landing"
        (self.landing / "orders").mkdir(parents=True)
        self.setting = Setting(spark, Lake.at(folder / "lake"), self.landing, Pace(landed_files=1, table_files=1))
        for batch in batches:
            self.land(batch)

    def land(self, batch: Sequence[Order], fails: Sequence[int] = ()) -> None:
        number = len(list((self.landing / "orders").iterdir()))
        lines = [
            ",".join("" if v is None else str(v) for v in (*row[:3], 0 if n in fails else 1, row[3]))
            for n, row in enumerate(batch)
        ]
        text = "\n".join(["w,d,q,f,n", *lines]) + "\n"
        (self.landing / "orders" / f"{number:03}.csv").write_text(text)

    def tape(self) -> dict[tuple[int, int], Order]:
        """Return what is on the tape, by its address."""
        return {
            (r["_batch_id"], r["_row"]): (number(r["w"]), number(r["d"]), number(r["q"]), int(r["n"]))
            for r in rows_of(self.setting.lake.folder(orders.name))
        }

    def table(self) -> Counter[tuple[int, int]]:
        rows = rows_of(self.setting.lake.link(SOLD).resolve())
        return Counter((r["_batch_id"], r["_row"]) for r in rows)

    def aside(self, generation: int = 1) -> Counter[tuple[int, int, str, tuple[str, ...]]]:
        folder = self.setting.lake.rejects(SOLD)
        rows = [r for r in rows_of(folder) if r["generation"] == generation]
        return Counter((r["_batch_id"], r["_row"], r["on_fail"], tuple(r["reasons"])) for r in rows)

    def notes(self, generation: int = 1) -> list[CommitNote]:
        found = [c.note for c in commits(self.setting.lake.folder(SOLD, generation))]
        return [note for note in found if note is not None and note.repair is None]


def number(text: str | None) -> Any:
    return None if text is None else int(text)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return DeltaTable(folder).to_pyarrow_table().to_pylist() if folder.exists() else []


def fate(order: Order) -> str:
    _, drop, quarantine, _ = order
    return "drop" if drop != 1 else "quarantine" if quarantine != 1 else "table"


def expected_table(tape: dict[tuple[int, int], Order]) -> Counter[tuple[int, int]]:
    return Counter({at: order[3] for at, order in tape.items() if order[3] and fate(order) == "table"})


def expected_aside(tape: dict[tuple[int, int], Order]) -> Counter[tuple[int, int, str, tuple[str, ...]]]:
    found: Counter[tuple[int, int, str, tuple[str, ...]]] = Counter()
    for (batch, row), order in tape.items():
        reasons = [name for name, met in zip(("dropped", "held"), order[1:3], strict=True) if met != 1]
        if reasons and order[3]:
            found[batch, row, fate(order), tuple(reasons)] = order[3]
    return found


def expected_counts(orders: Sequence[Order]) -> dict[str, dict[str, int]]:
    """Return what the notes of these rows add up to; what is 0 is left out."""
    by_fate: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for order in orders:
        by_fate[fate(order)] += order[3]
        for name, met in zip(("warned", "dropped", "held"), order[:3], strict=True):
            failed[name] += 0 if met == 1 else order[3]
    judged = {GIVEN: by_fate.total(), DROPPED: by_fate["drop"], QUARANTINED: by_fate["quarantine"]}
    told = {
        "judged": judged,
        "warned": {"warned": failed["warned"]},
        "rejected": {name: failed[name] for name in ("dropped", "held")},
    }
    return {what: {name: rows for name, rows in counts.items() if rows} for what, counts in told.items()}


def told(notes: Sequence[CommitNote]) -> dict[str, dict[str, int]]:
    sums: dict[str, Counter[str]] = {"judged": Counter(), "warned": Counter(), "rejected": Counter()}
    for note in notes:
        for what, counts in sums.items():
            counts.update(getattr(note, what))
    return {what: {name: rows for name, rows in counts.items() if rows} for what, counts in sums.items()}


VERDICTS: tuple[Verdict, ...] = (1, 0, None)
ALL: list[Order] = [(w, d, q, 1) for w in VERDICTS for d in VERDICTS for q in VERDICTS]
ORDER = st.tuples(*[st.sampled_from(VERDICTS)] * 3, st.integers(0, 3))


@settings(max_examples=5, phases=WALKED)
@given(st.lists(st.lists(ORDER, min_size=1, max_size=12), min_size=1, max_size=4))
@example([[*ALL[:7], (1, 1, 1, 3), (0, 0, 0, 0)], [(None, 0, 1, 2)], [*ALL[7:], (1, 1, None, 2)]])
def test_a_row_is_where_its_conditions_say_live_repaired_and_replayed(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Order]]
) -> None:
    scene, pipeline = Scene(spark, tmp_path_factory.mktemp("shop"), batches), shop(*RULES)
    setting = scene.setting
    Host(setting, pipeline).drain()
    tape = scene.tape()
    assert Counter(tape.values()) == Counter(order for batch in batches for order in batch)
    live = scene.notes()
    assert (scene.table(), scene.aside()) == (expected_table(tape), expected_aside(tape))
    assert told(live) == expected_counts(list(tape.values()))
    assert [n.judged[GIVEN] for n in live] == [
        (n.rows or 0) + n.judged.get(DROPPED, 0) + n.judged.get(QUARANTINED, 0) for n in live
    ]

    if scene.table():
        DeltaTable(setting.lake.folder(SOLD)).delete("_row % 2 = 0")
        slices = sorted({r["_arrival_date"] for r in rows_of(setting.lake.folder(orders.name))})
        list(run_repair(setting, pipeline, plan_repair(setting.lake, pipeline, SOLD, slices), progress=lambda _: None))
    assert (scene.table(), scene.aside()) == (expected_table(tape), expected_aside(tape))
    assert told(scene.notes()) == told(live)

    at_once = Setting(spark, setting.lake, setting.landing)
    run_replay(at_once, pipeline, plan_replay(setting.lake, pipeline, [SOLD]), progress=lambda _: None)
    assert len(scene.notes(2)) == 1
    assert (scene.table(), scene.aside(2)) == (expected_table(tape), expected_aside(tape))
    assert told(scene.notes(2)) == told(live)


@pytest.mark.parametrize("at", ["after_rejects", "after_commit"])
def test_what_was_interrupted_is_judged_and_kept_once(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    scene, pipeline = Scene(spark, tmp_path, [ALL]), shop(*RULES)
    died: list[str] = []

    def die(point: str, what: str) -> None:
        if (point, what) == (at, str(SOLD)) and not died:
            died.append(point)
            raise OSError(f"killed at {point}")

    monkeypatch.setattr(local_table, "fault_point", die)
    monkeypatch.setattr("kappa_assets.kinds.append.fault_point", die)
    with pytest.raises(OSError, match="killed at"):
        Host(scene.setting, pipeline).drain()
    aside = scene.aside()
    Host(scene.setting, pipeline).drain()
    tape = scene.tape()
    assert died == [at]
    assert (scene.table(), scene.aside(), aside) == (expected_table(tape), expected_aside(tape), expected_aside(tape))
    assert told(scene.notes()) == expected_counts(ALL)


FAIL = expect("sound", "f > 0", on_fail="fail")


def everything_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}


@pytest.mark.parametrize(
    ("mended", "options"),
    [
        (expect("sound", "f >= 0", on_fail="fail"), {}),
        (expect("sound", "f > 0", on_fail="warn"), {"version": "mended", "on_change": "forward"}),
    ],
    ids=["expectation", "logic"],
)
def test_nothing_of_a_batch_is_written_where_a_row_fails_what_no_row_may(
    spark: SparkSession, tmp_path: Path, mended: Expectation, options: dict[str, Any]
) -> None:
    scene, pipeline = Scene(spark, tmp_path, [ALL]), shop(*RULES, FAIL)
    lake = scene.setting.lake
    Host(scene.setting, pipeline).drain()
    before = scene.table(), scene.aside(), everything_below(lake.folder(SOLD)), everything_below(lake.rejects(SOLD))
    scene.land(ALL, fails=[0, 5, 13])  # of which two would be set aside
    with pytest.raises(ExpectationFailed) as refused:
        Host(scene.setting, pipeline).drain()
    after = scene.table(), scene.aside(), everything_below(lake.folder(SOLD)), everything_below(lake.rejects(SOLD))
    assert after == before
    assert before[2]
    said = str(refused.value)
    assert "silver.sold takes nothing of bronze.orders batches 1 to 1: 3 of 27 rows fail 'sound' (f > 0)" in said
    assert "delta_scan('$(kappa path bronze.orders)') WHERE (_batch_id, _row) IN ((1, 0), (1, 5), (1, 13))" in said

    scene.land(ALL[:3])
    Host(scene.setting, shop(*RULES, mended, **options)).drain()
    tape = scene.tape()
    assert (scene.table(), scene.aside()) == (expected_table(tape), expected_aside(tape))
    assert [note.batch for note in scene.notes()] == [0, 1, 2]
    counts = expected_counts([*ALL, *ALL, *ALL[:3]])
    counts["warned"] |= {"sound": 3} if mended.on_fail == "warn" else {}
    assert told(scene.notes()) == counts


def test_a_repair_and_a_replay_take_nothing_either_where_a_row_fails(spark: SparkSession, tmp_path: Path) -> None:
    scene = Scene(spark, tmp_path, [])
    scene.land([(1, 1, 1, 1), (1, 0, 1, 2)], fails=[1])  # it would be dropped too
    tolerant, strict = shop(*RULES, expect("sound", "f > 0", on_fail="warn")), shop(*RULES, FAIL)
    setting = scene.setting
    Host(setting, tolerant).drain()
    held, aside = scene.table(), scene.aside()
    assert scene.notes()[0].warned == {"sound": 2}
    slices = sorted({r["_arrival_date"] for r in rows_of(setting.lake.folder(orders.name))})
    plan = plan_repair(setting.lake, strict, SOLD, slices)
    with pytest.raises(ExpectationFailed, match=r"2 rows fail 'sound'"):
        list(run_repair(setting, strict, plan, progress=lambda _: None))
    with pytest.raises(ExpectationFailed, match=r"2 of 3 rows fail 'sound'"):
        run_replay(setting, strict, plan_replay(setting.lake, strict, [SOLD]), progress=lambda _: None)
    assert (scene.table(), scene.aside(), scene.aside(2)) == (held, aside, Counter())


@pytest.mark.parametrize("on_fail", ["warn", "fail"])
def test_a_table_may_have_only_expectations_that_take_no_row_away(
    spark: SparkSession, tmp_path: Path, on_fail: OnFail
) -> None:
    scene = Scene(spark, tmp_path, [[(1, 1, 1, 2), (0, 1, 1, 1)]])
    Host(scene.setting, shop(expect("one", "w >= 0", on_fail=on_fail), expect("two", "w > 0", on_fail="warn"))).drain()
    assert scene.table().total() == 3
    assert [(n.judged, n.warned, n.rejected) for n in scene.notes()] == [({GIVEN: 3}, {"two": 1}, {})]
    assert not scene.setting.lake.rejects(SOLD).exists()
