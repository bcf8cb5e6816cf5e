"""`make run`: what it refuses to start with, and that Ctrl-C ends everything it started."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
import yaml

import kappa_assets
from kappa_assets.demo.feed_sensor import retail_feed
from kappa_assets.demo.topic_feed import send_some, topics_begin
from kappa_assets_tests.feed.topic_records import records_of

REPOSITORY = Path(kappa_assets.__file__).parents[1]

# Stands in for dagster: a "run worker" in a session of its own, whose batch takes a moment to finish, and one
# that does not care about signals. Python finds it first, because it is in the directory we start in.
FAKE_DAGSTER = """
import os, signal, subprocess, sys, time
worker = '''
import signal, sys, time, pathlib
def finish(*_):
    time.sleep(0.3); pathlib.Path("finished").write_text("batch"); sys.exit(0)
signal.signal(signal.SIGTERM, finish)
pathlib.Path("worker").touch()
while True: time.sleep(0.1)
'''
subprocess.Popen([sys.executable, "-c", worker], start_new_session=True)
if os.environ.get("STUBBORN"):
    subprocess.Popen([sys.executable, "-c", "import signal, time, pathlib;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path('stubborn').touch(); time.sleep(600)"])
open("arguments", "w").write(" ".join(sys.argv[1:]))
open("environment", "w").write("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
while not os.path.exists("crash"): time.sleep(0.1)
"""


def eventually(what: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until `what()` holds; the limit is only for a test that fails."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


class Checkout:
    """A folder to `make run` in, and what is running from it."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self.launched: list[subprocess.Popen[bytes]] = []
        self.errors = path / "errors"
        self.environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "KAPPA_PORT": str(port)}
        (path / "workspace.yaml").write_text("load_from:\n  - python_module: demo\n")

    def run(self, **environment: str) -> subprocess.Popen[bytes]:
        # A file, not a pipe: what outlives the launcher would keep a pipe open.
        with self.errors.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "kappa_assets.demo.make_run"],
                cwd=self.path,
                env=self.environment | environment,
                stderr=errors,
            )
        self.launched.append(process)
        return process

    def refuses(self, **environment: str) -> str:
        """The one line that it prints before it gives up."""
        assert self.run(**environment).wait(timeout=60) == 1
        error = self.errors.read_text()
        assert error.count("\n") == 1, f"more than one line: {error}"
        return error

    def end(self, process: subprocess.Popen[bytes], *signals: signal.Signals) -> str:
        for number in signals:
            process.send_signal(number)
            time.sleep(0.3)
        process.wait(timeout=120)
        return self.errors.read_text()

    def processes(self) -> list[int]:
        mark = ("KAPPA_STARTED_BY", str(self.path / ".dagster"))
        found = []
        for process in psutil.process_iter():
            try:
                if mark in process.environ().items():
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path, free_port())
    yield made
    for launcher in made.launched:
        launcher.kill()
        launcher.wait()
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def faked(checkout: Checkout) -> Checkout:
    (checkout.path / "dagster").mkdir()
    (checkout.path / "dagster" / "__init__.py").touch()
    (checkout.path / "dagster" / "__main__.py").write_text(FAKE_DAGSTER)
    return checkout


def test_no_java_is_one_line_that_says_what_to_do(checkout: Checkout) -> None:
    line = checkout.refuses(PATH="/nowhere", JAVA_HOME="")
    assert "no java was found on PATH" in line
    assert "Hint: install Java 17" in line


def test_an_old_java_is_one_line_that_says_what_to_do(checkout: Checkout) -> None:
    java = checkout.path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    assert "in JAVA_HOME is Java 11" in checkout.refuses(JAVA_HOME=str(checkout.path / "jdk"))


def test_a_port_in_use_is_one_line_that_names_another(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = checkout.refuses(KAPPA_PORT=str(port))
    assert f"Port {port} is not free" in line
    assert f"KAPPA_PORT={port + 1} make run" in line


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(checkout: Checkout, port: str) -> None:
    assert f"KAPPA_PORT must be a port number; got '{port}'" in checkout.refuses(KAPPA_PORT=port)


def test_another_folder_than_a_checkout_is_refused(checkout: Checkout) -> None:
    (checkout.path / "workspace.yaml").unlink()
    assert "There is no workspace.yaml" in checkout.refuses()
    assert list(checkout.path.iterdir()) == [checkout.errors], "nothing may be left behind"


def test_dagster_gets_its_home_settings_and_folders_inside_the_checkout(faked: Checkout) -> None:
    process = faked.run(KAPPA_LANDING="/data/landing")
    eventually((faked.path / "environment").exists)
    eventually((faked.path / "worker").exists)
    faked.end(process, signal.SIGINT)
    environment = (faked.path / "environment").read_text().splitlines()
    assert f"DAGSTER_HOME={faked.path}/.dagster" in environment
    assert f"KAPPA_LAKE={faked.path}/.kappa/lake" in environment
    assert "KAPPA_PIPELINE=kappa_assets.pipelines.retail" in environment
    assert (faked.path / ".kappa" / "lake").is_dir()
    assert "KAPPA_LANDING=/data/landing" in environment, "a chosen folder stays"
    assert f"PYSPARK_PYTHON={sys.executable}" in environment
    port = faked.environment["KAPPA_PORT"]
    assert (faked.path / "arguments").read_text() == f"dev -w workspace.yaml -h 127.0.0.1 -p {port}"
    ours = REPOSITORY / "kappa_assets" / "orchestration" / "dagster.yaml"
    assert (faked.path / ".dagster" / "dagster.yaml").read_bytes() == ours.read_bytes()


@pytest.mark.slow
def test_where_topics_are_read_a_broker_runs_beside_dagster_and_the_feed_sends_to_it(
    faked: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    process = faked.run(KAPPA_SOURCE="kafka", KAPPA_KAFKA_PORT=str(port))
    eventually((faked.path / "worker").exists)
    address = f"127.0.0.1:{port}"
    assert f"KAPPA_KAFKA_BOOTSTRAP_SERVERS={address}" in (faked.path / "environment").read_text().splitlines()
    monkeypatch.setenv("KAPPA_KAFKA_BOOTSTRAP_SERVERS", address)
    today, landing = dt.datetime.now(dt.UTC).date(), faked.path / ".kappa" / "landing"
    assert topics_begin(landing, today) == today
    told = retail_feed(landing, topics=True)()
    assert isinstance(told, dg.SkipReason)
    assert told.skip_message is not None
    sent = send_some(landing, 5) + int(told.skip_message.split()[1])
    assert 100 <= sent < 160
    assert len(records_of(address, "invoices")) + len(records_of(address, "customer_changes")) == sent
    assert topics_begin(landing, today + dt.timedelta(3)) in (today, today + dt.timedelta(1))
    said = faked.end(process, signal.SIGINT)
    assert f"a broker runs: export KAPPA_KAFKA_BOOTSTRAP_SERVERS={address}" in said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the broker has ended too"


def test_a_broker_that_is_named_is_used_and_a_port_for_one_must_be_free(faked: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = faked.refuses(KAPPA_SOURCE="kafka", KAPPA_KAFKA_PORT=str(port))
    assert f"KAPPA_KAFKA_PORT={port + 1} make run" in line
    process = faked.run(KAPPA_SOURCE="kafka", KAPPA_KAFKA_BOOTSTRAP_SERVERS="hub:9092", KAPPA_KAFKA_PORT="none")
    eventually((faked.path / "worker").exists)
    faked.end(process, signal.SIGINT)
    assert "KAPPA_KAFKA_BOOTSTRAP_SERVERS=hub:9092" in (faked.path / "environment").read_text().splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_lets_the_batch_finish_and_ends_everything(faked: Checkout, number: signal.Signals) -> None:
    process = faked.run()
    eventually((faked.path / "worker").exists)
    assert "all ended" in faked.end(process, number)
    assert process.returncode == 0
    assert (faked.path / "finished").read_text() == "batch"
    assert faked.processes() == []


def test_a_second_ctrl_c_kills_what_does_not_listen(faked: Checkout) -> None:
    process = faked.run(STUBBORN="1")
    eventually((faked.path / "stubborn").exists)
    faked.end(process, signal.SIGINT, signal.SIGINT)
    assert faked.processes() == []


def test_a_second_dagster_in_the_same_checkout_is_refused(faked: Checkout) -> None:
    process = faked.run()
    eventually((faked.path / "worker").exists)
    assert "is being run already" in faked.refuses(KAPPA_PORT=str(free_port()))
    faked.end(process, signal.SIGINT)


def test_a_stream_outlives_a_crash_of_dagster_and_the_next_ctrl_c_ends_it(faked: Checkout) -> None:
    first = faked.run()
    eventually((faked.path / "worker").exists)
    (faked.path / "crash").touch()
    assert first.wait(timeout=60) == 1
    [stream] = faked.processes()
    assert f"Streams live on in processes [{stream}]" in faked.errors.read_text()

    (faked.path / "crash").unlink()
    (faked.path / "environment").unlink()
    second = faked.run()
    eventually((faked.path / "environment").exists)
    faked.end(second, signal.SIGINT)
    assert not psutil.pid_exists(stream) or psutil.Process(stream).status() == psutil.STATUS_ZOMBIE
    assert faked.processes() == []


def test_the_instance_leaves_room_beside_a_stream_and_holds_one_run_per_stream() -> None:
    settings = yaml.safe_load((REPOSITORY / "kappa_assets/orchestration/dagster.yaml").read_text())
    runs = settings["concurrency"]["runs"]
    assert runs["max_concurrent_runs"] >= 3
    per_stream = {"key": "kappa/stream", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert runs["tag_concurrency_limits"] == [per_stream]
    assert settings["telemetry"] == {"enabled": False}


DEMO = """
import pathlib, subprocess, time
import dagster as dg

@dg.op
def stream():
    jvm = subprocess.Popen(["sleep", "600"])
    pathlib.Path("worker").touch()
    try:
        while True: time.sleep(0.1)
    except dg.DagsterExecutionInterruptedError:
        time.sleep(1); pathlib.Path("finished").write_text("batch")
        raise

@dg.job(executor_def=dg.in_process_executor, tags={"kappa/stream": "demo"})
def stream_job(): stream()

@dg.sensor(job=stream_job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def switch(): return dg.RunRequest(run_key="one")

defs = dg.Definitions(jobs=[stream_job], sensors=[switch])
"""


@pytest.mark.slow
def test_ctrl_c_ends_the_real_dagster_with_its_daemon_code_servers_and_runs(checkout: Checkout) -> None:
    (checkout.path / "demo.py").write_text(DEMO)
    process = checkout.run()
    address = f"http://127.0.0.1:{checkout.environment['KAPPA_PORT']}/server_info"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    eventually(answers, seconds=180)
    eventually((checkout.path / "worker").exists, seconds=180)
    assert len(checkout.processes()) >= 5, "webserver, daemon, code server, run worker and its child"
    assert "all ended" in checkout.end(process, signal.SIGINT)
    assert (checkout.path / "finished").read_text() == "batch"
    assert checkout.processes() == []
