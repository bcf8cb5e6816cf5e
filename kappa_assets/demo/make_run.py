"""`make run`: this checkout's pipeline in Dagster at http://127.0.0.1:3000, until Ctrl-C ends it all.

Run it where workspace.yaml is. KAPPA_PORT chooses another port, KAPPA_LAKE and KAPPA_LANDING other folders,
KAPPA_PIPELINE another pipeline than the retail example. KAPPA_SOURCE=kafka has its tapes read topics, of the brokers
that KAPPA_KAFKA_... names or, where none are named, of one that is started here on KAPPA_KAFKA_PORT.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TextIO

from kappa_assets.demo.broker import PORT, Broker
from kappa_assets.errors import SetupError
from kappa_assets.host.session import pin_environment, require_java

# Set in all that we start, and inherited by run workers and their JVMs, whoever their parent is by then. It
# names the DAGSTER_HOME, so streams that outlived a crash of Dagster are ended by the next Ctrl-C too.
_MARK = "KAPPA_STARTED_BY"
_PIPELINE = "kappa_assets.pipelines.retail"

# Measured: Dagster ends within 3 s; a stream finishes its batch first, and is given this long for it.
_PATIENCE_S = 60.0
_AFTER_THAT_S = 5.0


def main() -> int:
    """Start Dagster and wait; 1 and one line on standard error when the machine lacks something."""
    stop = _Stop()
    home = Path.cwd() / ".dagster"
    try:
        require_java()
        port = _free_port(os.environ.get("KAPPA_PORT") or "3000")
        with _prepare(home):
            environment = _environment(home)
            with _brokers(environment, home):
                return _serve(port, environment, home, stop)
    except SetupError as error:
        sys.stderr.write("kappa_assets: " + str(error).replace("\n", " ") + "\n")
        return 1


class _Stop:
    """Notes Ctrl-C, SIGTERM and SIGHUP, and how often they came.

    Installed even where SIGINT is ignored, as in a shell's background job: all children would ignore it too,
    and Dagster, which treats SIGTERM as SIGINT, could then be ended by SIGKILL only (measured).
    """

    def __init__(self) -> None:
        self.asked = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.asked += 1


def _free_port(value: str, variable: str = "KAPPA_PORT") -> int:
    if not value.isdigit() or not 0 < int(value) < 65536:  # noqa: PLR2004  # TCP's own limit
        raise SetupError(f"{variable} must be a port number; got {value!r}.", hint=f"try {variable}=3001.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(value)))
        except OSError as error:
            raise SetupError(
                f"Port {value} is not free ({error.strerror}).",
                hint=f"end what uses it, or choose another: {variable}={int(value) % 65535 + 1} make run",
            ) from None
    return int(value)


def _prepare(home: Path) -> TextIO:
    """DAGSTER_HOME with the project's settings in it, and the lock that keeps a second Dagster out of it."""
    if not (home.parent / "workspace.yaml").is_file():
        raise SetupError(f"There is no workspace.yaml in {home.parent}.", hint="run this in the checkout.")
    settings = files("kappa_assets").joinpath("orchestration/dagster.yaml").read_bytes()
    try:
        home.mkdir(exist_ok=True)
        lock = (home / "kappa-run.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (home / "dagster.yaml").write_bytes(settings)
    except BlockingIOError:
        raise SetupError(f"{home.parent} is being run already.", hint="press Ctrl-C where it runs.") from None
    except OSError as error:
        raise SetupError(f"{home} cannot be written: {error.strerror}.", hint="whose is it?") from error
    return lock


def _environment(home: Path) -> dict[str, str]:
    """What Dagster and all below it see. The default lake and landing folder are made; chosen ones not."""
    pin_environment()
    environment = os.environ | {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1", _MARK: str(home)}
    environment["KAPPA_PIPELINE"] = environment.get("KAPPA_PIPELINE") or _PIPELINE
    for name, folder in (("KAPPA_LAKE", "lake"), ("KAPPA_LANDING", "landing")):
        if not environment.get(name):
            environment[name] = str(home.parent / ".kappa" / folder)
            Path(environment[name]).mkdir(parents=True, exist_ok=True)
    return environment


@contextmanager
def _brokers(environment: dict[str, str], home: Path) -> Iterator[None]:
    """Have a broker where topics are read and nobody names one; what it was sent stays beside the demo's lake.

    It outlives the streams, which finish their batch.
    """
    named = environment.get("KAPPA_KAFKA_BOOTSTRAP_SERVERS") or environment.get("KAPPA_KAFKA_PROPERTIES")
    if environment.get("KAPPA_SOURCE") != "kafka" or named:
        yield
        return
    port = environment.get("KAPPA_KAFKA_PORT") or str(PORT)
    broker = Broker(home.parent / ".kappa" / "kafka", _free_port(port, "KAPPA_KAFKA_PORT"))
    try:
        broker.start()
        environment["KAPPA_KAFKA_BOOTSTRAP_SERVERS"] = broker.address
        _say(f"a broker runs: export KAPPA_KAFKA_BOOTSTRAP_SERVERS={broker.address} for commands of your own.")
        yield
    finally:
        broker.stop()


def _serve(port: int, environment: dict[str, str], home: Path, stop: _Stop) -> int:
    dev = ["dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    # A group of its own: Ctrl-C on the terminal then reaches us alone, and a stream can finish its batch.
    dagster = subprocess.Popen([sys.executable, "-m", *dev], env=environment, stdin=subprocess.DEVNULL, process_group=0)
    _say(f"Dagster starts at http://127.0.0.1:{port}, on the lake {environment['KAPPA_LAKE']}. Ctrl-C ends it.")
    while not stop.asked:
        if (code := dagster.poll()) is not None:
            _say(f"`dagster dev` ended by itself (exit code {code}).")
            if left := _started(home, dagster.pid):
                _say(f"Streams live on in processes {left}. Start again to see them; Ctrl-C ends them then.")
            return code or 1
        time.sleep(0.2)
    _say("ending; streams finish their batch first. Ctrl-C again kills at once.")
    return _end(dagster, home, stop)


def _end(dagster: subprocess.Popen[bytes], home: Path, stop: _Stop) -> int:
    """Ask every Python process once to end (a JVM ends with its Python), wait, then kill what is left."""
    asked, told = stop.asked, set[int]()
    until = time.monotonic() + _PATIENCE_S
    while (left := _started(home, dagster.pid)) and time.monotonic() < until and stop.asked == asked:
        # Again and again, since a run may be starting; but a second SIGTERM would interrupt a batch's end.
        new = [pid for pid in left if pid not in told and not _is_java(pid)]
        _signal(new, signal.SIGTERM)
        told.update(new)
        dagster.poll()  # reaps it
        time.sleep(0.2)
    until = time.monotonic() + _AFTER_THAT_S
    while (left := _started(home, dagster.pid)) and time.monotonic() < until:
        _signal(left, signal.SIGKILL)
        dagster.poll()
        time.sleep(0.2)
    _say(f"processes {left} would not end." if left else "all ended.")
    return 1 if left else 0


def _started(home: Path, group: int) -> list[int]:
    """The living processes that were started from here: by their mark or, without /proc, by their group."""
    if not Path("/proc/self/environ").exists():
        listed = _ps("-axo", "pid=,pgid=").splitlines()
        return [int(pid) for pid, of in (line.split() for line in listed) if int(of) == group]
    mark, found = f"{_MARK}={home}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # gone meanwhile, or somebody else's
    return sorted(found)


def _is_java(pid: int) -> bool:
    return _ps("-o", "comm=", "-p", str(pid)).strip().endswith("java")


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _say(text: str) -> None:
    sys.stderr.write(f"kappa_assets: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
