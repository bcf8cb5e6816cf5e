"""README's code and commands, run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from kappa_assets_tests.whole.dagster_ui import REPOSITORY

pytestmark = pytest.mark.slow
_README = (REPOSITORY / "README.md").read_text()


def test_the_table_of_ones_own_in_the_readme_runs_with_the_commands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(_block("python", "orders = bronze("))
    orders = tmp_path / "landing" / "orders"
    orders.mkdir(parents=True)
    (orders / "first.csv").write_text("customer,amount\nada,1.50\nbob,2.00\nada,0.25\n")
    (orders / "second.csv").write_text("amount,customer\nnothing,bob\n3.00,ada\n")
    drain, show = (shlex.split(line, comments=True) for line in _block("console", "kappa drain").splitlines())
    _kappa(drain, tmp_path)
    spent = {row["customer"]: Decimal(row["spent"]) for row in json.loads(_kappa([*show, "--json"], tmp_path))}
    assert spent == {"ada": Decimal("4.75"), "bob": Decimal("2.00")}


def test_every_command_of_the_rewind_chapter_is_one_that_kappa_knows() -> None:
    for line in _block("console", "kappa tape").splitlines():
        program, command, *_ = shlex.split(line, comments=True)
        assert program == "kappa"
        assert "Usage: kappa" in _kappa(["kappa", command, "--help"], REPOSITORY)


def _block(language: str, first: str) -> str:
    """Return the fenced block of README that holds `first`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", _README, re.DOTALL)
    return str(next(block for block in blocks if first in block))


def _kappa(words: list[str], folder: Path) -> str:
    assert words[0] == "kappa"
    command = [str(Path(sys.executable).with_name("kappa")), *words[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
