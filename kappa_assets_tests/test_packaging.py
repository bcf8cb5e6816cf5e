"""The repository's face, and what pip is told."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import kappa_assets

REPOSITORY = Path(kappa_assets.__file__).parents[1]

FOR_PEOPLE = {"README.md", "deploy", "kappa_assets", "kappa_assets_tests", "setup.py", "workspace.yaml"}
FOR_TOOLS = {".ci", ".gitignore", "LICENSE", "Makefile", "pyproject.toml"}
PINS = {
    "dagster==1.13.27",
    "dagster-webserver==1.13.27",
    "dagster-pyspark==0.29.27",
    "pyspark==4.2.0",
    "delta-spark==4.4.0",
    "deltalake>=1.6,<1.7",
    "pandas<3",
}


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Every file of the commit, or that would be in the next one."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git here to tell the project's files from what was made beside them")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.check_output(listing, cwd=REPOSITORY, text=True).splitlines()


def test_the_top_level_holds_the_agreed_entries_and_no_others(tracked: list[str]) -> None:
    assert {name.split("/")[0] for name in tracked} - (FOR_PEOPLE | FOR_TOOLS) == set()


def test_every_pin_stands_in_setup_py_with_its_reason() -> None:
    text = (REPOSITORY / "setup.py").read_text()
    wanted = text[text.index("install_requires") : text.index("extras_require")]
    assert set(re.findall(r'^ +"(.+)",', wanted, re.MULTILINE)) - {"pyarrow", "click", "rich", "matplotlib"} == PINS
    lines = wanted.splitlines()
    first = next(number for number, line in enumerate(lines) if '"' in line)
    assert lines[first - 1].strip().startswith("#"), "a reason stands above the first"


def test_what_nothing_imports_is_an_extra_and_not_installed_with_the_rest() -> None:
    text = (REPOSITORY / "setup.py").read_text()
    extras = text[text.index("extras_require") :]
    assert '"databricks": ["dagster-databricks==0.29.27"]' in extras
    package = (REPOSITORY / "kappa_assets").rglob("*.py")
    assert [path for path in package if "dagster_databricks" in path.read_text()] == []


def test_pyproject_holds_no_dagster_settings_because_they_would_win_over_workspace_yaml() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert set(settings) == {"build-system", "tool"}
    assert set(settings["tool"]) == {"mypy", "pytest", "ruff"}


def test_the_workspace_names_our_definitions() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    assert workspace == {"load_from": [{"python_module": {"module_name": "kappa_assets.definitions"}}]}


def test_make_help_explains_every_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    explained = dict(re.findall(r"^([a-z-]+):.*## (.+)$", makefile, re.MULTILINE))
    assert set(explained) == set(phony.split())
    printed = subprocess.check_output(["make", "help"], cwd=REPOSITORY, text=True)
    for target, why in explained.items():
        assert re.search(rf"^make {target} +{re.escape(why)}$", printed, re.MULTILINE), target


@pytest.mark.slow
def test_a_wheel_carries_the_data_the_types_and_no_tests(tracked: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in filter(lambda name: (REPOSITORY / name).is_file(), tracked):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((REPOSITORY / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(copy),
    ]
    subprocess.run(build, check=True)
    [wheel] = tmp_path.glob("*.whl")
    listing = subprocess.check_output([sys.executable, "-m", "zipfile", "-l", str(wheel)], text=True)
    packed = {line.split()[0] for line in listing.splitlines()[1:]}
    assert {name for name in packed if name.startswith("kappa_assets/")} == {
        name for name in tracked if name.startswith("kappa_assets/")
    }
    assert "kappa_assets/py.typed" in packed
    assert "kappa_assets/orchestration/dagster.yaml" in packed
    data = {name for name in packed if name.startswith("kappa_assets/pipelines/retail/data/")}
    assert len([name for name in data if name.endswith(".csv.gz")]) == 20
    assert not [name for name in packed if name.startswith(("kappa_assets_tests", "deploy"))]
