"""What must hold of a lake after any history, checked without Spark against the files that landed."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from deltalake import DeltaTable

from kappa_assets import Layer, TableName
from kappa_assets.graph import Pipeline
from kappa_assets.log.delta_log import commits
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets_tests.oracle import CUSTOMER_VALUE, DAILY_REVENUE, SALES, TOP_PRODUCTS, oracle, rows_of
from kappa_assets_tests.retail_sales import pipeline as retail

if TYPE_CHECKING:
    import pyarrow as pa

INVOICES = TableName(Layer.BRONZE, "invoices")
SILVER = TableName(Layer.SILVER, "sales")
_GOLDS = {"daily_revenue": DAILY_REVENUE, "customer_value": CUSTOMER_VALUE, "top_products": TOP_PRODUCTS}


def verify(lake: Lake, files: Sequence[Path], *, pipeline: Pipeline = retail, foreign: Sequence[Path] = ()) -> None:
    """Assert that the lake holds exactly what `files` say, each line once, in every layer, and that it adds up.

    `foreign` files landed too, and are expected to be set aside besides those the oracle cannot read.
    """
    verify_bronze(lake, files, foreign)
    verify_tables(lake, files)
    verify_rejects(lake, files)
    verify_tape(lake)
    verify_ranges(lake, pipeline)
    verify_links(lake)


def verify_bronze(lake: Lake, files: Sequence[Path], foreign: Sequence[Path] = ()) -> None:
    """Each line of each file is on the tape once, under an address of its own; damaged files are named."""
    unreadable = oracle(files).set_aside
    rows = read(lake.folder(INVOICES)).to_pylist()
    sent = Counter(line for file in files if file not in unreadable for line in _in_file(file))
    same(Counter(_on_tape(row) for row in rows), sent, "lines on the tape")
    addresses = Counter((row["_batch_id"], row["_row"]) for row in rows)
    assert not [address for address, n in addresses.items() if n > 1]
    same(set_aside(lake), Counter(file.name for file in (*unreadable, *foreign)), "files set aside")


def same(found: Counter[Any], expected: Counter[Any], what: str) -> None:
    """Assert that two multisets are equal, and show what is missing and what is too much."""
    missing, extra = expected - found, found - expected
    shown = [f"  {sign} {n} x {item}" for sign, side in (("-", missing), ("+", extra)) for item, n in side.items()]
    lines = "\n".join(shown[:20])
    assert not shown, f"{what}: {missing.total()} missing, {extra.total()} too many\n{lines}"


def verify_tables(lake: Lake, files: Sequence[Path]) -> None:
    """Silver and the three Golds that readers see are what the oracle computes."""
    expected = oracle(files)
    sales = read(lake.link(SILVER)).select(list(SALES))
    same(Counter(rows_of(sales, SALES)), expected.sales, "rows of silver.sales")
    folder = lake.link(SILVER).resolve()
    known = set(DeltaTable(folder).schema().to_arrow().names)
    for file in (folder / "data").rglob("*.parquet"):  # the files hold what the table says, and nothing of ours beside
        assert set(pq.read_schema(file).names) <= known, file
    for name, columns in _GOLDS.items():
        found = rows_of(read(lake.link(TableName(Layer.GOLD, name))), columns)
        same(Counter(found), Counter(getattr(expected, name)), f"rows of gold.{name}")


def verify_rejects(lake: Lake, files: Sequence[Path]) -> None:
    """Rejected rows of the live generation are kept once each, and counted exactly in its commits.

    Rows from before a late start were judged by the generation they are kept from: their rejects are under its number.
    """
    live = Registry(lake).state().live(SILVER)
    assert live is not None
    expected = oracle(_landed_since(lake, files, live.from_batch)).rejects
    noted: Counter[str] = Counter()
    for commit in commits(lake.folder(SILVER, live.number)):
        noted.update(dict(commit.note.rejected) if commit.note else {})
    same(noted, expected, "rejects counted in commits")
    kept: Counter[str] = Counter()
    if expected:
        for row in read(lake.rejects(SILVER)).to_pylist():
            if row["generation"] == live.number:
                kept.update(row["reasons"])
    same(kept, expected, "rejects kept")


def _landed_since(lake: Lake, files: Sequence[Path], batch: int) -> list[Path]:
    """Return the files of which no line is on the tape before `batch`."""
    rows = read(lake.folder(INVOICES), "_batch_id", "_source").to_pylist() if batch else []
    earlier = {row["_source"]["file"] for row in rows if row["_batch_id"] < batch}
    return [file for file in files if file.name not in earlier]


def verify_tape(lake: Lake) -> None:
    """Batches are numbered without gap, the index agrees with the log, and rows with both."""
    tape = Tape(lake, INVOICES)
    found = tape.commits()
    assert [c.batch for c in found] == list(range(len(found)))
    assert [c.version for c in found] == sorted({c.version for c in found})
    rows = Counter(read(lake.folder(INVOICES), "_batch_id").column("_batch_id").to_pylist())
    assert {c.batch: c.rows for c in found if c.rows} == dict(rows)
    for commit in found:
        assert sum(commit.slices.values()) == commit.rows
    index = read(lake.tape_index(INVOICES)).sort_by("batch").to_pylist()
    assert [(r["batch"], r["version"], r["rows"]) for r in index] == [(c.batch, c.version, c.rows) for c in found]


def verify_ranges(lake: Lake, pipeline: Pipeline = retail) -> None:
    """The input ranges of each live generation tile, its batches are in order, and its positions never go back."""
    state = Registry(lake).state()
    for table in pipeline.derived:
        live = state.live(table.name)
        assert live is not None
        (upstream,) = map(str, pipeline.upstreams[table.name])
        found = [c.note for c in commits(lake.folder(table.name, live.number)) if c.note and c.note.reads]
        notes = [note for note in found if note.repair is None]
        assert notes, f"{table.name} has no commit of ours"
        reads = [n.reads[upstream] for n in notes]
        assert reads[0].since is None
        assert [r.since for r in reads[1:]] == [r.until for r in reads[:-1]], table.name
        assert [n.batch for n in notes] == list(range(len(notes))), table.name
        positions = [n.position[str(INVOICES)] for n in notes]
        assert positions == sorted(positions), table.name


def verify_links(lake: Lake) -> None:
    """The public names lead to the live generations."""
    state = Registry(lake).state()
    assert state.release is not None
    for table, number in state.release.tables.items():
        assert lake.link(table).resolve() == lake.folder(table, number)


def read(folder: Path, *columns: str) -> pa.Table:
    return DeltaTable(folder).to_pyarrow_table(columns=list(columns) or None)


def set_aside(lake: Lake) -> Counter[str]:
    """Return how often each file was set aside from Bronze."""
    if not (lake.rejects(INVOICES) / "_delta_log").is_dir():
        return Counter()
    return Counter(read(lake.rejects(INVOICES), "file").column("file").to_pylist())


def _on_tape(row: dict[str, Any]) -> tuple[str, str]:
    """Return a Bronze row as its file's name and its content: the raw line where it was malformed."""
    name = row["_source"]["file"]
    if row["_malformed"] is not None:
        return name, row["_malformed"]
    payload = {k: v for k, v in row.items() if v and (not k.startswith("_"))}
    return name, json.dumps(payload, sort_keys=True)


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig", errors="replace")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if not lines:
        return
    header = next(csv.reader([lines[0]]))
    for line in lines[1:]:
        fields = next(csv.reader([line]))
        if len(fields) == len(header):
            payload = {k.strip(): v for k, v in zip(header, fields, strict=True) if v}
            yield path.name, json.dumps(payload, sort_keys=True)
        else:
            yield path.name, line
