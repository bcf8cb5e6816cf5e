"""Where the lake and the pipeline are: said before or after a command's name, or in the environment; never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kappa_assets.cli import main
from kappa_assets_tests.written_logs import WrittenLake

OURS = "kappa_assets_tests.written_logs"


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), env=environment)


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    made = WrittenLake(lake_path)
    made.land()
    return made


@pytest.mark.parametrize(
    "command",
    [
        ("drain", "--landing", "landing"),
        ("stream", "--landing", "landing"),
        ("repair", "silver.sales", "--from", "2026-01-01"),
        ("replay", "--tables", "silver.sales"),
        ("promote",),
        ("maintain",),
        ("status",),
        ("tables",),
        ("check",),
    ],
    ids=lambda command: command[0],
)
def test_no_command_guesses_the_pipeline(command: tuple[str, ...], lake_path: Path) -> None:
    result = run(*command, "--lake", lake_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--pipeline' (or KAPPA_PIPELINE)" in result.stderr
    assert "Hint: The example's is kappa_assets.pipelines.retail" in result.stderr
    assert list(lake_path.iterdir()) == [], "tables of a pipeline that nobody named were made in the lake"


def test_what_needs_no_declaration_asks_for_none(web: WrittenLake) -> None:
    for command in (("tape", "bronze.clicks"), ("path",), ("releases",)):
        result = run(*command, "--lake", web.lake.root)
        assert result.exit_code == 0, result.stderr


def test_options_are_taken_before_and_after_the_name_of_the_command(web: WrittenLake) -> None:
    places = ("--lake", web.lake.root, "--pipeline", OURS, "--json")
    after = run("tables", *places)
    assert after.exit_code == 0, after.stderr
    assert [row["table"] for row in json.loads(after.stdout)][:1] == ["bronze.clicks"]
    for cut in range(len(places) + 1):
        if cut not in (1, 3):  # between an option and its value
            assert run(*places[:cut], "tables", *places[cut:]).stdout == after.stdout


def test_the_nearest_word_wins_after_the_command_then_before_it_then_the_environment(
    web: WrittenLake, tmp_path: Path
) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    lake = str(web.lake.root)
    command = ("status", "--pipeline", OURS)
    assert run("--lake", elsewhere, *command, "--lake", lake).exit_code == 0
    assert run("--lake", lake, *command, KAPPA_LAKE=elsewhere).exit_code == 0
    assert run(*command, "--lake", lake, KAPPA_LAKE=elsewhere).exit_code == 0
    assert run(*command, KAPPA_LAKE=lake).exit_code == 0
    refused = run("--lake", elsewhere, *command, KAPPA_LAKE=lake)
    assert refused.exit_code == 1
    assert f"there is no lake at '{elsewhere}'" in refused.stderr
