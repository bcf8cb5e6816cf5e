"""Live equals replay, row for row: in any split and order, after maintenance, with kept rows, beside a living host."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets import Layer, Pipeline, TableName
from kappa_assets.host.host import Ended, Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.replay import plan_replay, rollback, run_replay
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.oracle import SALES
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS, CORRECTED
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read, same, verify, verify_bronze, verify_ranges

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

TABLES = (SILVER, *(TableName(Layer.GOLD, name) for name in ("customer_value", "daily_revenue", "top_products")))
DAILY = TableName(Layer.GOLD, "daily_revenue")


def contents(lake: Lake, table: TableName) -> Counter[tuple[Any, ...]]:
    """Return a table's rows as readers see them, with where and when each arrived but without its address."""
    rows = read(lake.link(table)).to_pylist()
    return Counter(tuple((k, v) for k, v in sorted(row.items()) if k not in ("_batch_id", "_row")) for row in rows)


def replay(
    setting: Setting, tables: Sequence[TableName] = (SILVER,), *, start: int = 0, of: Pipeline = pipeline
) -> int:
    """Replay and promote; return the release."""
    result = run_replay(setting, of, plan_replay(setting.lake, of, tables, from_version=start), progress=lambda _: None)
    assert result.state == "promoted", result.comparison.faults
    assert result.release is not None
    for compared in result.comparison.tables:
        if of is pipeline:
            assert (compared.only_live, compared.only_candidate, compared.changed) == (0, 0, 0), compared
    return result.release


PACES = (None, Pace(1, 1), Pace(2, 1), Pace(2), Pace())
"""How a drain takes what has landed; None: nothing is drained before the next file."""


# The first example has within one history what several had: files out of their order, taken singly, two at a time and
# all at once, by tables that read commit by commit and in one go. The second lets all wait and takes them in one batch.
@settings(max_examples=1, phases=WALKED)
@given(
    seed=st.integers(0, 10_000),
    order=st.permutations(range(5)),
    paces=st.lists(st.sampled_from(PACES), min_size=4, max_size=4),
    last=st.sampled_from(PACES[1:]),
)
@example(seed=4711, order=[3, 0, 4, 1, 2], paces=[Pace(1, 1), None, Pace(2), None], last=Pace(1, 1))
@example(seed=2026, order=[4, 2, 1, 3, 0], paces=[None] * 4, last=Pace())
def test_in_any_split_and_order_live_equals_replay_and_both_equal_the_oracle(
    spark: SparkSession,
    tmp_path: Path,
    seed: int,
    order: Sequence[int],
    paces: Sequence[Pace | None],
    last: Pace,
) -> None:
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    landing = root / "landing" / "invoices"
    landing.mkdir(parents=True)
    files = make_files(root / "staged", seed, files=5, lines=30, drift=True)
    setting = Setting(spark, Lake.at(root / "lake"), root / "landing")
    for number, pace in zip(order, [*paces, last], strict=True):
        files[number].rename(landing / files[number].name)
        if pace is not None:
            Host(replace(setting, pace=pace), pipeline).drain()
    landed = sorted(landing.iterdir())
    verify(setting.lake, landed)
    live = {table: contents(setting.lake, table) for table in TABLES}

    maintain(spark, setting.lake)
    replay(setting)
    for table in TABLES:
        same(contents(setting.lake, table), live[table], f"rows of {table} after the replay")
    verify(setting.lake, landed)
    shutil.rmtree(root)


def maintain(spark: SparkSession, lake: Lake) -> None:
    """OPTIMIZE and VACUUM Bronze: old versions cannot be read any more, and files are in another order."""
    path = lake.folder(INVOICES)
    before = {p for p in path.rglob("*.parquet") if "_delta_log" not in p.parts}
    spark.sql(f"OPTIMIZE delta.`{path}` ZORDER BY (InvoiceNo)")
    check = "spark.databricks.delta.retentionDurationCheck.enabled"
    spark.conf.set(check, "false")
    try:
        spark.sql(f"VACUUM delta.`{path}` RETAIN 0 HOURS")
    finally:
        spark.conf.unset(check)
    after = {p for p in path.rglob("*.parquet") if "_delta_log" not in p.parts}
    assert before - after, "nothing was vacuumed"


def test_a_partial_replay_keeps_the_earlier_rows_and_computes_the_later_ones_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")
    for file in make_files(tmp_path / "staged", 21, files=3, lines=30):
        file.rename(landing / file.name)
        Host(setting, AS_IT_WAS).drain()
    before = read(setting.lake.link(SILVER)).to_pylist()
    start = Tape(setting.lake, INVOICES).commits()[1]
    maintain(spark, setting.lake)

    replay(setting, start=start.version, of=CORRECTED)
    after = read(setting.lake.link(SILVER)).to_pylist()

    def by_address(rows: Sequence[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
        return {(r["_batch_id"], r["_row"]): r for r in rows}

    old, new = by_address(before), by_address(after)
    assert old.keys() == new.keys()
    assert len(new) == len(after)
    for address, row in new.items():
        kept = address[0] < start.batch
        assert row["logic"] == (None if kept else "new")
        was = old[address]["amount"]
        assert row["amount"] == (was if kept or was is None else 2 * was)
    revenue = sum(r["amount"] for r in after if r["amount"] is not None)
    assert sum(r["revenue"] for r in read(setting.lake.link(DAILY)).to_pylist()) == revenue
    verify_ranges(setting.lake, AS_IT_WAS)


@contextmanager
def living(setting: Setting, of: Pipeline) -> Iterator[list[Ended]]:
    """A host that streams in a thread of its own for the block; how it ended is in the list afterwards."""
    off, ended = threading.Event(), list[Ended]()
    host = Host(setting, of, wanted=lambda: "the block is over" if off.is_set() else None)
    thread = threading.Thread(target=lambda: ended.append(host.stream()))
    thread.start()
    try:
        yield ended
    finally:
        off.set()
        thread.join(timeout=300)
        assert not thread.is_alive()


def reached(setting: Setting, batch: int, *, timeout: float = 300) -> None:
    """Wait until the live Silver and daily revenue reflect the tape up to `batch`."""
    pause = threading.Event()
    for _ in range(int(timeout * 5)):
        state = Registry(setting.lake).state()
        positions = []
        for table in (SILVER, DAILY):
            live = state.live(table)
            found = last_note(setting.lake.folder(table, live.number)) if live else None
            positions.append(found[1].position.get(str(INVOICES), Position(-1, -1)) if found else Position(-1, -1))
        if min(p.batch for p in positions) >= batch:
            return
        pause.wait(0.2)
    pytest.fail(f"batch {batch} was not reached; positions {positions}")


def test_logic_is_replayed_promoted_and_rolled_back_while_the_tables_stream(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    files = make_files(tmp_path / "staged", 22, files=5, lines=30)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")

    def drop(number: int) -> None:
        files[number].rename(landing / files[number].name)

    drop(0)
    with living(setting, AS_IT_WAS) as ended:
        reached(setting, 0)
        drop(1)  # arrives before, during or after the replay's build: all the same
        assert replay(setting, of=CORRECTED) == 2
        state = Registry(setting.lake).state()
        assert state.release is not None
        assert set(state.release.tables.values()) == {2}
        assert setting.lake.link(SILVER).resolve() == setting.lake.folder(SILVER, 2)
    assert ended[0].restart or ended[0].reason == "the block is over"

    with living(setting, CORRECTED):
        drop(2)
        reached(setting, 2)
    landed = [landing / f.name for f in files[:3]]
    verify_bronze(setting.lake, landed)
    verify_ranges(setting.lake, CORRECTED)
    assert doubled(setting.lake, SILVER, 2) == original(setting.lake, landed)

    back = rollback(setting.lake, reason="prices were right")
    assert (back.number, set(back.tables.values())) == (1, {1})
    assert setting.lake.link(SILVER).resolve() == setting.lake.folder(SILVER, 1)
    with living(setting, AS_IT_WAS):
        drop(3)
        reached(setting, 3)
    landed = [landing / f.name for f in files[:4]]
    verify_ranges(setting.lake, AS_IT_WAS)
    expected = original(setting.lake, landed)
    found = read(setting.lake.folder(SILVER, 1)).to_pylist()
    assert Counter((r["invoice_no"], r["stock_code"], r["amount"]) for r in found) == expected

    rollback(setting.lake, 2, reason="no, they were wrong")
    Host(setting, CORRECTED).drain()
    assert doubled(setting.lake, SILVER, 2) == expected
    kinds = [e.kind for e in Registry(setting.lake).history()]
    assert kinds.count("release_created") == 2
    assert kinds[-2:] == ["release_selected", "release_selected"]


def doubled(lake: Lake, table: TableName, number: int) -> Counter[tuple[Any, ...]]:
    """Return the rows of the corrected Silver with its amounts halved again."""
    rows = read(lake.folder(table, number)).to_pylist()
    assert {r["logic"] for r in rows} == {"new"}
    return Counter((r["invoice_no"], r["stock_code"], None if r["amount"] is None else r["amount"] / 2) for r in rows)


def original(lake: Lake, landed: Sequence[Path]) -> Counter[tuple[Any, ...]]:
    from kappa_assets_tests.oracle import oracle

    invoice, code, amount = (SALES.index(c) for c in ("invoice_no", "stock_code", "amount"))
    found: Counter[tuple[Any, ...]] = Counter()
    for row, n in oracle(landed).sales.items():
        found[row[invoice], row[code], row[amount]] += n
    return found
