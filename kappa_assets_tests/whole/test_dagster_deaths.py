"""kill -9 of Dagster's own processes while a stream runs: it lives on, is found again, and nothing is started twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest

from kappa_assets import TableName
from kappa_assets.host.host_status import host_alive
from kappa_assets.log import delta_log
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole.dagster_ui import Running, eventually, make_run
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read, verify_bronze, verify_ranges

if TYPE_CHECKING:
    from pathlib import Path

    from kappa_assets.place.local.leases.lock import Holder

pytestmark = pytest.mark.slow
GOLD = TableName.parse("gold.daily_revenue")


def test_the_stream_outlives_code_server_web_server_and_daemon(tmp_path: Path) -> None:
    waiting = iter(make_files(tmp_path / "staged", 81, files=3, lines=20))
    with make_run(tmp_path) as running:
        eventually(lambda: running.materializations(*GOLD.key), "Gold's first event", moves=running.movement)
        running.stop_feed()  # it would take most of a core, and what is to arrive is brought by hand
        host = host_alive(Lake.at(running.lake))
        assert host is not None
        assert host.run_id == _only_run(running)

        # Nothing starts a dead code server again but a person's Reload; until then every tick is an error.
        _kill(running, "api", "grpc")
        _goes_on(running, host, next(waiting))
        running.reload()
        _is_seen_again(running, host)

        for process in ("dagster_webserver", "dagster._daemon"):
            _kill(running, process)
            assert running.ended() != 0, "`dagster dev` ends when one of its processes dies"
            _goes_on(running, host, next(waiting))
            running.start()
            _is_seen_again(running, host)

        assert running.interrupt() == 0
        assert host_alive(Lake.at(running.lake)) is None, "Ctrl-C ends a stream that an earlier Dagster started, too"
        _nothing_lost(running)


def _kill(running: Running, *words: str) -> None:
    """Kill the processes whose command has all the words, children of what `make run` started, with -9."""
    found = [process for process in running.family() if set(words) <= set(_command(process))]
    assert found, [_command(process) for process in running.family()]
    for process in found:
        process.kill()
    psutil.wait_procs(found, timeout=30)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # it ended meanwhile, or is a zombie
        return []


def _goes_on(running: Running, host: Holder, file: Path) -> None:
    """A file that lands now reaches Silver by the same host."""
    lake = Lake.at(running.lake)
    landed = running.root / ".kappa" / "landing" / "invoices" / f"by hand {file.name}"
    file.rename(landed)
    eventually(lambda: landed.name in _files_on_tape(lake), "the file to be on the tape")
    position = Tape(lake, INVOICES).head()
    eventually(lambda: _position_of_silver(lake) >= position, "Silver to have read it")
    assert host_alive(lake) == host


def _files_on_tape(lake: Lake) -> set[str]:
    return set(read(lake.folder(INVOICES)).column("_source").combine_chunks().field("file").to_pylist())


def _position_of_silver(lake: Lake) -> Position:
    note = delta_log.last_note(lake.folder(SILVER))
    return BEFORE_THE_TAPE if note is None else note[1].position[str(INVOICES)]


def _is_seen_again(running: Running, host: Holder) -> None:
    """The stream sensor says that the host lives and asks for nothing; the lineage sensor reports its new commits."""
    since = time.time()
    tick = eventually(lambda: _newer(running.newest_tick("retail_stream"), since), "a tick of the stream sensor")
    assert tick["status"] == "SKIPPED", tick
    assert tick["skipReason"].startswith(f"a host lives: process {host.pid} "), tick
    assert str(host.run_id) in tick["skipReason"]
    version = latest_version(Lake.at(running.lake).folder(SILVER)) or 0
    eventually(lambda: _version(running) >= version, f"version {version} of Silver to be reported")
    assert _only_run(running) == host.run_id
    assert host_alive(Lake.at(running.lake)) == host


def _newer(tick: dict[str, str] | None, since: float) -> dict[str, str] | None:
    """Return a tick that began after `since` and has ended. While the code loads, ticks may still fail."""
    ended = tick is not None and tick["status"] in ("SKIPPED", "SUCCESS")
    return tick if tick is not None and ended and float(tick["timestamp"]) > since else None


def _version(running: Running) -> int:
    """Return the newest version reported: of the slices that a tick reports, an old one may have it."""
    return max((int(e["version"]) for e in running.materializations(*SILVER.key, limit=200)), default=-1)


def _only_run(running: Running) -> str:
    """Return the one run of the stream job; it is still under way."""
    runs = running.runs("stream")
    assert [run["status"] for run in runs] == ["STARTED"], runs
    return runs[0]["runId"]


def _nothing_lost(running: Running) -> None:
    """What was read is on the tape once, and every table read on from where it was."""
    lake = Lake.at(running.lake)
    known = _files_on_tape(lake)
    landed = sorted((running.root / ".kappa" / "landing" / "invoices").iterdir())
    verify_bronze(lake, [file for file in landed if file.name in known])
    verify_ranges(lake)
