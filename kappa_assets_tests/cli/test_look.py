from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from kappa_assets import load_pipeline
from kappa_assets.cli import main
from kappa_assets.health import run_checks
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests import oracle
from kappa_assets_tests.cli.conftest import RETAIL, Kappa

TABLES = ["bronze.invoices", "silver.sales", "gold.customer_value", "gold.daily_revenue", "gold.top_products"]


def test_tables_lists_the_pipeline_upstream_first_and_needs_no_lake() -> None:
    result = CliRunner().invoke(main, ["tables", "--pipeline", RETAIL])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines() if line.strip()][3:] == TABLES
    assert "merged by day, country" in result.stdout


def test_tables_says_in_words_how_each_gets_its_rows() -> None:
    result = CliRunner().invoke(main, ["tables", "--pipeline", "kappa_assets.pipelines.retail", "--json"])
    kinds = {row["table"]: row["kind"] for row in json.loads(result.stdout)}
    assert kinds["silver.customers"] == "changes merged by customer_id: the versions of each"
    assert kinds["silver.priced_sales"] == "recomputed by customer_id; keys _batch_id, _row"
    assert kinds["silver.sales"] == "row by row"


@pytest.mark.parametrize("name", ["daily_revenue", "customer_value", "top_products"])
def test_show_gives_what_plain_python_computes_from_the_files(shop: Kappa, name: str) -> None:
    columns = getattr(oracle, name.upper())
    shown = shop.rows("show", f"gold.{name}", "--limit", "10000")
    assert oracle.rows_of(shown, columns) == getattr(shop.expected, name)


def test_show_gives_every_line_of_silver_with_decimals_as_text_and_times_in_iso(shop: Kappa) -> None:
    shown = shop.rows("show", "silver.sales", "--limit", "10000")
    assert oracle.rows_of(shown, oracle.SALES) == oracle.rows_of(
        [dict(zip(oracle.SALES, row, strict=True)) for row in shop.expected.sales.elements()], oracle.SALES
    )
    assert isinstance(shown[0]["unit_price"], str)
    assert shown[0]["sold_at"].endswith("+00:00")
    assert "T" in shown[0]["sold_at"]


def test_show_stops_at_the_limit(shop: Kappa) -> None:
    assert len(shop.rows("show", "gold.daily_revenue", "--limit", "2")) == 2


def test_status_counts_rows_and_finds_every_table_at_the_head_of_the_tape(shop: Kappa) -> None:
    rows = shop.rows("status")
    assert [row["table"] for row in rows] == TABLES
    counts = {row["table"]: row["rows"] for row in rows}
    assert counts["bronze.invoices"] == shop.expected.lines
    assert counts["silver.sales"] == shop.expected.sales.total()
    assert counts["gold.daily_revenue"] == len(shop.expected.daily_revenue)
    for row in rows:
        assert row["position"] == {"bronze.invoices": {"batch": 0, "version": 1}} == row["head"]
        assert (row["lag_batches"], row["lag_seconds"], row["state"]) == (0, 0.0, "stopped")
        assert row["logic"] in (None, "current")


def test_the_checks_of_a_drained_lake_pass_but_for_the_switch_and_the_broken_file(shop: Kappa) -> None:
    pipeline = load_pipeline("kappa_assets_tests.retail_sales")
    found = run_checks(Lake(shop.lake), pipeline, landing=shop.landing)
    assert {(str(o.table), o.check) for o in found if not o.passed} == {(t, "stream_healthy") for t in TABLES}
    aside = next(o for o in found if o.check == "stream_healthy").rows
    assert [(row["what"], row["name"]) for row in aside] == [("set aside", "2026-01-09.csv.gz")]


def test_tape_lists_each_commit_with_its_slices(shop: Kappa) -> None:
    rows = shop.rows("tape", "bronze.invoices")
    assert [(r["version"], r["batch_id"], r["rows"]) for r in rows] == [(1, 0, shop.expected.lines)]
    assert set(rows[0]["slices"]) == {"2026-01-05", "2026-01-06", "2026-01-07"}
    assert sum(rows[0]["slices"].values()) == shop.expected.lines


def test_path_of_a_table_is_one_line_that_opens(shop: Kappa) -> None:
    result = shop.run("path", "silver.sales")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert DeltaTable(line).to_pyarrow_table().num_rows == shop.expected.sales.total()
    assert (shop.lake / "silver" / "sales").resolve() == Path(line)


def test_path_without_a_table_gives_all_of_one_release(shop: Kappa) -> None:
    rows = shop.rows("path")
    assert [row["table"] for row in rows] == TABLES
    assert {row["release"] for row in rows} == {1}


def test_releases_begins_with_the_first_data(shop: Kappa) -> None:
    (release,) = shop.rows("releases")
    assert (release["release"], release["current"]) == (1, True)
    assert release["tables"] == dict.fromkeys(sorted(TABLES[1:]), 1)


def test_a_table_for_people_has_no_control_codes_and_folds_nothing_in_a_pipe(
    shop: Kappa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = shop.run("path")
    assert "\x1b" not in result.stdout
    assert all(row["path"] in result.stdout for row in shop.rows("path"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("tape", "silver.sales"),
        ("show", "sales"),
        ("show", "gold.Sales"),
        ("show", "gold.daily_revenue", "--limit", "0"),
        ("replay",),
        ("replay", "--tables", "bronze.invoices"),
        ("replay", "--tables", "silver.sales", "--promote", "now"),
        ("rollback", "yesterday"),
        ("rewind",),
    ],
)
def test_wrong_usage_ends_with_2(shop: Kappa, arguments: tuple[str, ...]) -> None:
    result = shop.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error:" in result.stderr


def test_a_missing_lake_option_is_wrong_usage_and_a_missing_lake_a_failure(tmp_path: Path) -> None:
    unsaid = CliRunner().invoke(main, ["status"])
    assert unsaid.exit_code == 2
    assert "KAPPA_LAKE" in unsaid.stderr
    absent = CliRunner().invoke(main, ["status", "--lake", str(tmp_path / "nowhere")])
    assert absent.exit_code == 1
    assert "there is no lake" in absent.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("show", "gold.profit"), "gold.profit has not been written yet"),
        (("tape", "bronze.nothing"), "bronze.nothing has not been written yet"),
        (("path", "silver.nothing"), "The lake holds bronze.invoices, silver.sales"),
        (("status", "--pipeline", "no_such_module"), "no module 'no_such_module'"),
        (("rollback",), "there is no earlier release"),
        (("discard", "r1"), "there is no replay 'r1' to discard"),
        (("replay", "--tables", "silver.sales", "--from-version", "99", "--plan"), "no version 99"),
    ],
)
def test_a_failure_ends_with_1_and_its_reason_on_standard_error(
    shop: Kappa, arguments: tuple[str, ...], reason: str
) -> None:
    result = shop.run(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unexpected_error_ends_with_1_and_says_where_it_came_from(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    result = CliRunner().invoke(main, ["tables", "--pipeline", str(broken)])
    assert result.exit_code == 1
    assert "Error: ZeroDivisionError: division by zero" in result.stderr
    assert "broken.py" in result.stderr


def test_what_a_pipeline_prints_does_not_reach_standard_output(tmp_path: Path) -> None:
    chatty = tmp_path / "chatty.py"
    chatty.write_text(
        "from kappa_assets import Files, bronze\nprint('hello')\nclicks = bronze('clicks', source=Files('clicks'))\n"
    )
    done = _kappa("tables", "--pipeline", str(chatty), "--json")
    assert done.stdout.startswith("[\n{")
    assert done.stderr == "hello\n"


def test_the_environment_names_the_places_and_the_real_command_ends_cleanly(shop: Kappa) -> None:
    done = _kappa("show", "gold.daily_revenue", "--limit", "10000", "--json", KAPPA_LAKE=str(shop.lake))
    assert (done.returncode, done.stderr) == (0, "")
    assert oracle.rows_of(json.loads(done.stdout), oracle.DAILY_REVENUE) == shop.expected.daily_revenue
    failed = _kappa("show", "gold.profit", KAPPA_LAKE=str(shop.lake))
    assert (failed.returncode, failed.stdout) == (1, "")


@pytest.mark.parametrize("command", [["tape", "bronze.invoices"], ["releases"], ["show", "gold.top_products"]])
def test_looking_imports_neither_spark_nor_dagster(shop: Kappa, command: list[str]) -> None:
    program = (
        "import sys; from kappa_assets.cli import main; "
        f"main({[*command, '--lake', str(shop.lake)]!r}, standalone_mode=False); "
        "heavy = {m.partition('.')[0] for m in sys.modules} & {'pyspark', 'dagster'}; "
        "sys.stdout.flush(); import os; os._exit(len(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_help_lists_every_command_under_its_topic() -> None:
    text = CliRunner().invoke(main, ["--help"]).stdout
    topics = {"Look:": "tape", "Play:": "drain", "Rewind:": "rollback"}
    places = [(text.index(topic), text.index(f"  {name} ", text.index(topic))) for topic, name in topics.items()]
    assert places == sorted(places)
    assert all(f"\n  {name} " in text for name in main.commands)


def _kappa(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kappa_assets.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
