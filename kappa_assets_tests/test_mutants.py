"""Known faults stay usable: each patch applies to today's code, and the tests that must fail on it are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from kappa_assets_tests.mutants.__main__ import Fault, known_faults

REPOSITORY = Path(__file__).resolve().parents[1]
FAULTS = known_faults()


def test_there_are_known_faults() -> None:
    assert len(FAULTS) >= 10


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.patch.stem)
def test_a_known_fault_applies_to_todays_code_and_names_tests_that_exist(fault: Fault) -> None:
    command = ["git", "apply", "--check", str(fault.patch)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert fault.what
    for test in fault.tests:
        module, _, name = test.partition("::")
        text = (REPOSITORY / module).read_text()
        assert re.search(rf"^def {re.escape(name.partition('[')[0])}\(", text, re.MULTILINE), test
