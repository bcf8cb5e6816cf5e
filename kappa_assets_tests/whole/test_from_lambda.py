"""README's way from Lambda, walked command by command: real invoices, a batch table by other means, a real topic."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable, write_deltalake

from kappa_assets.cli import main
from kappa_assets.feed.packaged import DATA
from kappa_assets_tests.sources.kafka_broker import Broker, Client
from kappa_assets_tests.whole.dagster_ui import REPOSITORY

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
_CHAPTER = (REPOSITORY / "README.md").read_text().partition("## From Lambda to here\n")[2].partition("\n## ")[0]
ARCHIVED, LIVE = ("2010-12-19", "2010-12-23"), "2010-12-22"
"""The three smallest days."""


@pytest.fixture
def topics(spark: SparkSession, broker: Broker) -> Iterator[Client]:
    client = Client(spark, broker.address)
    client.make("orders")
    yield client
    client.delete("orders")
    client.close()


def test_the_way_from_lambda_in_the_readme_is_walked(
    topics: Client, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module, with_topic, without_archive = re.findall(r"```python\n(.*?)```", _CHAPTER, re.DOTALL)
    consoles = re.findall(r"```console\n(.*?)```", _CHAPTER, re.DOTALL)
    (declared,) = re.findall(r"^orders = .*\n", module, re.MULTILINE)
    archive = tmp_path / "landing" / "archive"
    archive.mkdir(parents=True)
    for day in ARCHIVED:
        shutil.copy(DATA / f"{day}.csv.gz", archive)
    batch_job(tmp_path, ARCHIVED)
    (tmp_path / "shop.py").write_text(module)
    walk(consoles[0], monkeypatch, broker)

    with gzip.open(DATA / f"{LIVE}.csv.gz", "rt", newline="") as file:
        topics.send("orders", [json.dumps(line).encode() for line in csv.DictReader(file)])
    (tmp_path / "shop.py").write_text(module.replace(declared, with_topic))
    *drained, last = walk(consoles[1], monkeypatch, broker, fails=True)
    assert "gold.revenue differs from batch/revenue" in last.stderr, "the batch job has not run over the live orders"
    assert len(drained) == 1
    batch_job(tmp_path, (*ARCHIVED, LIVE))
    walk(consoles[1], monkeypatch, broker)

    (told,) = walk(consoles[2], monkeypatch, broker)
    assert DeltaTable(told.stdout.strip()).to_pyarrow_table().num_rows > 1
    (tmp_path / "shop.py").write_text(module.replace(declared, without_archive))
    shutil.rmtree(archive)
    walk(consoles[3], monkeypatch, broker)
    assert run(["compare", "gold.revenue", "--with", "batch/revenue"]).exit_code == 0


def walk(console: str, monkeypatch: pytest.MonkeyPatch, broker: Broker, *, fails: bool = False) -> list[Result]:
    """Run the commands of a block, and return what each gave. `fails`: the last one does."""
    found = []
    for line in console.splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "export":
            for name, _, value in (word.partition("=") for word in words):
                monkeypatch.setenv(name, broker.address if "KAFKA" in name else value)
            continue
        assert program == "kappa"
        found.append(run(words))
    for result in found[:-1] if fails else found:
        assert result.exit_code == 0, result.output
    assert found[-1].exit_code == int(fails), found[-1].output
    return found


def run(words: Sequence[str]) -> Result:
    return CliRunner().invoke(main, list(words), env=dict(os.environ))


def batch_job(folder: Path, days: Sequence[str]) -> None:
    """Write what the old job would: the same question, asked in SQL of the files."""
    files = [str(DATA / f"{day}.csv.gz") for day in days]
    question = f"""
        SELECT Country AS country, count(*) AS lines,
               sum(CAST(Quantity AS INT) * CAST(UnitPrice AS DECIMAL(12, 4)))::DECIMAL(28, 4) AS revenue
        FROM read_csv({files!r}, header = true, all_varchar = true) GROUP BY Country
    """
    with duckdb.connect() as engine:
        answer: pa.Table = engine.sql(question).to_arrow_table()
    write_deltalake(str(folder / "batch" / "revenue"), answer, mode="overwrite", schema_mode="overwrite")
