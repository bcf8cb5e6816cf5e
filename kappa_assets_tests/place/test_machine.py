"""What is read of a process: from /proc, and through ps where there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kappa_assets.place.local.leases import machine
from kappa_assets.place.local.leases.machine import Moment, see_process


def test_a_process_that_works_moves_and_one_that_is_gone_is_not_there() -> None:
    before = see_process(os.getpid())
    assert before is not None
    assert not before.is_stopped
    after = before
    while after.moves == before.moves:
        sum(range(100_000))
        found = see_process(os.getpid())
        assert found is not None
        after = found
    assert after.started == before.started
    assert see_process(2**22 - 1) is None


def test_the_clock_of_ages_goes_on_and_belongs_to_a_boot() -> None:
    first, second = Moment.now(), Moment.now()
    assert second.uptime >= first.uptime
    assert (first.boot, second.boot) == (Path("/proc/sys/kernel/random/boot_id").read_text().strip(),) * 2


@pytest.mark.parametrize(
    ("said", "stopped"),
    [
        ("S+     0:00.03 Thu Nov 26 08:09:51 2026    \n", False),  # macOS
        ("T+     0:00.03 Thu Nov 26 08:09:51 2026    \n", True),
        ("T 00:00:00 Thu Nov  6 08:09:51 2026\n", True),  # Linux
    ],
)
def test_without_proc_ps_is_asked(
    said: str,
    stopped: bool,  # noqa: FBT001 -- pytest passes it by name
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, said, "")

    monkeypatch.setattr(machine, "_PROC", tmp_path)
    monkeypatch.setattr("kappa_assets.place.local.leases.machine.subprocess.run", run)
    seen = see_process(41)
    assert seen is not None
    assert (seen.is_stopped, seen.moves) == (stopped, f"{said.split()[1]} of CPU")
    assert seen == see_process(41), "a frozen process is known by its start"
    assert asked[0][-2:] == ["-p", "41"]


def test_without_proc_this_process_is_found_through_the_ps_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    seen = see_process(os.getpid())
    assert seen is not None
    assert not seen.is_stopped
    assert see_process(2**22 - 1) is None
