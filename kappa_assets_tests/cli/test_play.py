from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kappa_assets.cli import main
from kappa_assets.host.host_status import read_status
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests import oracle
from kappa_assets_tests.cli.conftest import RETAIL, Kappa

_GROUPING_SILVER = """
from kappa_assets import Files, bronze, gold, silver

invoices = bronze("invoices", source=Files("invoices", header=True))

@silver
def sales(invoices):
    return invoices.groupBy("_batch_id", "_row", "_arrived_at", "_arrival_date").count()

@gold(keys=["count"])
def counts(sales):
    return sales.groupBy("count").count()
"""
_GOLDS_IN_GROUPS = """
from pyspark.sql import Window, functions as F
from kappa_assets import LINEAGE, Files, bronze, gold, silver

invoices = bronze("invoices", source=Files("invoices", header=True))

@silver
def sales(invoices):
    return invoices.select("StockCode", "InvoiceNo", *LINEAGE)

def counted(sales):
    lines = sales.groupBy("StockCode", "InvoiceNo").agg(F.count("*").alias("lines"))
    return lines.withColumn("all", F.sum("lines").over(Window.partitionBy("StockCode")))

@gold(keys=["StockCode", "InvoiceNo"], by=["StockCode"])
def shares(sales):
    return counted(sales)

@gold(keys=["StockCode", "InvoiceNo"])
def mixed(sales):
    return counted(sales)
"""
_MISSPELT_COLUMN = """\
from pyspark.sql import functions as F
from kappa_assets import LINEAGE, Files, bronze, silver
invoices = bronze("invoices", source=Files("invoices", format="csv", header=True))
@silver
def sales(invoices):
    code = F.col("StockCoed")
    return invoices.select(
        "InvoiceNo",
        F.upper(code).alias("code"),
        *LINEAGE,
    )
"""


def test_check_passes_the_plans_of_the_example(shop: Kappa) -> None:
    assert {row["result"] for row in shop.rows("check")} == {"ok"}


def test_check_without_a_lake_says_what_it_could_not_check() -> None:
    result = CliRunner().invoke(main, ["check", "--pipeline", RETAIL, "--json"])
    assert result.exit_code == 0
    results = {row["table"]: row["result"] for row in json.loads(result.stdout)}
    assert results == {"bronze.invoices": "ok"} | dict.fromkeys(list(results)[1:], "unchecked")


def test_check_refuses_a_silver_that_groups(shop: Kappa, pipeline_file: Callable[[str], str]) -> None:
    where = pipeline_file(_GROUPING_SILVER)
    result = shop.run("check", "--pipeline", where, "--json")
    assert result.exit_code == 1
    results = {row["table"]: row["result"] for row in json.loads(result.stdout)}
    assert results == {"bronze.invoices": "ok", "silver.sales": "refused", "gold.counts": "unchecked"}
    assert f"{where}:" in result.stderr


def test_check_says_by_what_a_gold_is_recomputed_and_refuses_one_that_mixes_its_groups(
    shop: Kappa, pipeline_file: Callable[[str], str]
) -> None:
    result = shop.run("check", "--pipeline", pipeline_file(_GOLDS_IN_GROUPS), "--json")
    assert result.exit_code == 1
    rows = {row["table"]: row for row in json.loads(result.stdout)}
    assert rows["gold.shares"]["detail"] == "groups by StockCode"
    assert rows["gold.mixed"]["result"] == "refused"
    assert "a window over StockCode, which leaves out 'InvoiceNo'" in result.stderr
    assert "Hint: Say by=['StockCode']" in result.stderr


@pytest.mark.slow
def test_check_names_the_line_of_code_that_an_error_arose_in(shop: Kappa, pipeline_file: Callable[[str], str]) -> None:
    where = pipeline_file(_MISSPELT_COLUMN)
    command = [sys.executable, "-m", "kappa_assets.cli", "check", "--pipeline", where]
    done = subprocess.run(  # a process of its own: pyspark looks once per process whether lines are to be noted
        [*command, "--lake", str(shop.lake), "--landing", str(shop.landing)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    line = 1 + _MISSPELT_COLUMN.splitlines().index('    code = F.col("StockCoed")')
    assert f"(at {where}:{line})" in done.stderr, done.stderr


def test_a_pipeline_that_asks_for_spark_while_it_loads_is_told_how_to_do_without(
    pipeline_file: Callable[[str], str],
) -> None:
    where = pipeline_file('from pyspark.sql import functions as F\nshout = F.udf("string")(str.upper)\n')
    command = [sys.executable, "-m", "kappa_assets.cli", "check", "--pipeline", where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # here a session may be there
    assert done.returncode == 1
    assert f"Error: {where} needs a Spark session to load\nHint: " in done.stderr
    assert "StringType()" in done.stderr


def test_a_second_drain_with_nothing_new_changes_nothing(own_shop: Kappa) -> None:
    before = own_shop.rows("status")
    assert own_shop.rows("drain") == before


def test_drain_without_a_landing_folder_is_a_failure_that_names_it(spark: object, tmp_path: Path) -> None:
    places = ["--pipeline", RETAIL, "--lake", str(tmp_path / "l"), "--landing", str(tmp_path / "none")]
    result = CliRunner().invoke(main, ["drain", *places])
    assert result.exit_code == 1
    assert f"the landing folder '{tmp_path / 'none' / 'invoices'}' is missing" in result.stderr


def test_drain_with_changed_logic_holds_the_table_and_says_so(
    own_shop: Kappa, pipeline_file: Callable[[str], str]
) -> None:
    where = pipeline_file(
        _GROUPING_SILVER.replace('.groupBy("_batch_id", "_row", "_arrived_at", "_arrival_date").count()', "")
    )
    result = own_shop.run("drain", "--pipeline", where, "--json")
    assert result.exit_code == 1
    assert "silver.sales is held" in result.stderr


def test_stream_runs_until_sigterm_and_ends_with_0(own_shop: Kappa) -> None:
    def stop_when_it_runs() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = read_status(Lake(own_shop.lake))
            if status and status.mode == "stream" and {q.state for q in status.queries} == {"running"}:
                break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    watcher = threading.Thread(target=stop_when_it_runs)
    watcher.start()
    rows = own_shop.rows("stream")
    watcher.join()
    status = read_status(Lake(own_shop.lake))
    assert status is not None
    assert (status.mode, status.ended) == ("stream", "asked to stop (SIGTERM)")
    assert {row["state"] for row in rows} == {"stopped"}
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_held_replay_is_promoted_and_rolled_back(own_shop: Kappa) -> None:
    replay = "replay", "--tables", "gold.daily_revenue"
    (planned,) = own_shop.rows(*replay, "--plan")
    assert (planned["table"], planned["candidate"]) == ("gold.daily_revenue", "g2")
    (compared,) = own_shop.rows(*replay, "--promote", "hold")
    assert (compared["state"], compared["changed"], compared["only_live"]) == ("held", 0, 0)
    assert "held" in own_shop.run("releases").stderr
    (release,) = own_shop.rows("promote", compared["replay"])
    assert release["tables"]["gold.daily_revenue"] == 2
    assert own_shop.run("path", "gold.daily_revenue").stdout.endswith("g0002\n")
    shown = own_shop.rows("show", "gold.daily_revenue", "--limit", "10000")
    assert oracle.rows_of(shown, oracle.DAILY_REVENUE) == own_shop.expected.daily_revenue
    (back,) = own_shop.rows("rollback", "--reason", "a test")
    assert back["release"] == 1
    assert [r["current"] for r in own_shop.rows("releases")] == [True, False]
    assert own_shop.run("path", "gold.daily_revenue").stdout.endswith("g0001\n")


def test_a_discarded_replay_leaves_no_folder(own_shop: Kappa) -> None:
    (compared,) = own_shop.rows("replay", "--tables", "gold.top_products", "--promote", "hold")
    candidate = Lake(own_shop.lake).folder(TableName.parse("gold.top_products"), 2)
    assert candidate.is_dir()
    own_shop.rows("discard", compared["replay"])
    assert not candidate.exists()
