"""`make mutants`: bring back known faults one by one, in a copy of the code, and see that the suite fails on each.

    python -m kappa_assets_tests.mutants --only tape

A fault is a patch in `faults/`. What stands above its first `diff` says which fault it is and, in lines that begin
with `test: `, which tests must fail. A patch that does not apply any more is an error: write it anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_COPIED = ("kappa_assets", "kappa_assets_tests", "pyproject.toml", "setup.py", "README.md", "Makefile")
_SOME_FAILED = 1
"""pytest's exit code when tests ran and some failed; any other says that they did not run as they should."""


@dataclass(frozen=True)
class Fault:
    """One known fault: the patch that brings it back, and the tests that must fail then."""

    patch: Path
    what: str
    tests: tuple[str, ...]

    @classmethod
    def read(cls, patch: Path) -> Fault:
        """Return the fault that a patch file describes. Raises ValueError when it names no test."""
        above = patch.read_text().partition("diff --git")[0].strip().splitlines()
        tests = tuple(line.removeprefix("test: ").strip() for line in above if line.startswith("test: "))
        if not tests:
            raise ValueError(f"{patch.name} names no test. Hint: add a line `test: path::name` above its diff.")
        return cls(patch, " ".join(line for line in above if not line.startswith("test: ")), tests)


def known_faults(only: str = "") -> list[Fault]:
    """Return the faults whose file name contains `only`."""
    return [Fault.read(p) for p in sorted((Path(__file__).parent / "faults").glob("*.patch")) if only in p.name]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a patch's file name")
    faults = known_faults(parser.parse_args(arguments).only)
    root = Path(tempfile.mkdtemp(prefix="kappa-mutants-"))
    try:
        _copy(root)
        code, said = _pytest(root, sorted({test for fault in faults for test in fault.tests}))
        if code != 0:
            print(f"the tests fail on today's code already, so they prove nothing:\n{said}", flush=True)
            return 1
        outcomes = [_outcome(root, fault) for fault in faults]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"{outcomes.count(True)} of {len(outcomes)} faults are found", flush=True)
    return 0 if outcomes and all(outcomes) else 1


def _outcome(root: Path, fault: Fault) -> bool:
    """Bring one fault back, and return whether the tests fail on it; the copy is as before afterwards."""
    _apply(root, fault)
    try:
        code, said = _pytest(root, fault.tests)
    finally:
        _apply(root, fault, "--reverse")
    found = code == _SOME_FAILED
    print(f"{'found ' if found else 'MISSED'}  {fault.patch.stem}: {fault.what}", flush=True)
    if not found:
        print(f"  pytest ended with {code}:\n{said}", flush=True)
    return found


def _apply(root: Path, fault: Fault, *how: str) -> None:
    command = ["git", "apply", *how, str(fault.patch)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{fault.patch.name} does not apply to today's code; write it anew:\n{done.stderr}")


def _copy(root: Path) -> None:
    for name in _COPIED:
        source = _REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)


def _pytest(root: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run tests of the copy, and return pytest's exit code with the end of what it said."""
    command = [sys.executable, "-m", "pytest", "--slow", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(root), "CI": "true"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr)[-2000:]


if __name__ == "__main__":
    sys.exit(main())
