"""A checkout of one's own, run as `make run` runs it, and asked over the web server's GraphQL and its pages."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from kappa_assets.demo.feed import next_delivery
from kappa_assets.host.host_status import host_alive
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.browser import Browser

REPOSITORY = Path(__file__).resolve().parents[2]
LOCATION = "kappa_assets.definitions"
_Found = TypeVar("_Found")


class Running:
    """Dagster with the retail pipeline, on a copy of the package that a test may edit."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.lake = root / ".kappa" / "lake"
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**os.environ, "PYTHONPATH": str(root), "KAPPA_PORT": str(port), "KAPPA_MEMORY": "1g"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start Dagster, for the first time or again, and wait until the web server answers."""
        with (self.root / "log").open("ab") as log:
            command = [sys.executable, "-m", "kappa_assets.demo.make_run"]
            self._process = subprocess.Popen(command, cwd=self.root, env=self._environment, stdout=log, stderr=log)
        eventually(lambda: _answers(self), "the web server to answer", 180)

    def family(self) -> list[psutil.Process]:
        """Return the living processes that the last start has begun, and that are still below it."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def ended(self) -> int:
        """Wait until the launcher has ended by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(120)

    def ask(self, query: str, **variables: object) -> Any:
        """Return the data of a GraphQL answer. Raises AssertionError with the errors of a failed one."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def materializations(self, *key: str, limit: int = 5) -> list[dict[str, str]]:
        """Return the newest materializations of an asset as their metadata: label -> text or number."""
        data = self.ask(
            """query ($key: [String!]!, $limit: Int!) { assetOrError(assetKey: {path: $key}) { ... on Asset {
                 assetMaterializations(limit: $limit) { runId description tags { key value } metadataEntries { label
                   ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
                   ... on TextMetadataEntry { text } } } } } }""",
            key=list(key),
            limit=limit,
        )["assetOrError"]
        return [_facts(m) for m in data.get("assetMaterializations", [])]

    def check(self, check: str, *key: str) -> bool | None:
        """Return whether the newest result of an asset check passed; None without one."""
        data = self.ask(
            """query ($key: AssetKeyInput!, $name: String!) {
                 assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1) { evaluation { success } } }""",
            key={"path": list(key)},
            name=check,
        )["assetCheckExecutions"]
        return data[0]["evaluation"]["success"] if data and data[0]["evaluation"] else None

    def runs(self, job: str) -> list[dict[str, str]]:
        """Return the newest runs of a job, newest first: runId, status."""
        found: list[dict[str, str]] = self.ask(
            """query ($job: String!) { runsOrError(filter: {pipelineName: $job}, limit: 10) {
                 ... on Runs { results { runId status } } } }""",
            job=job,
        )["runsOrError"]["results"]
        return found

    def newest_run(self, job: str) -> dict[str, str] | None:
        return next(iter(self.runs(job)), None)

    def newest_tick(self, sensor: str) -> dict[str, str] | None:
        """Return what a sensor did last: timestamp, status, skipReason; None while its code is not loaded."""
        found: dict[str, Any] = self.ask(
            """query ($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) { ... on Sensor {
                 sensorState { ticks(limit: 1) { timestamp status skipReason } } } } }""",
            sensor={"repositoryName": "__repository__", "repositoryLocationName": LOCATION, "sensorName": sensor},
        )["sensorOrError"]
        return next(iter(found["sensorState"]["ticks"]), None) if "sensorState" in found else None

    def stop_feed(self) -> None:
        """Turn the demo's shop off, as a click on its sensor does; `deliver` then brings what is to arrive."""
        sensor = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION, "sensorName": "retail_feed"}
        found = self.ask(
            """query ($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) { ... on Sensor {
                 sensorState { id } } } }""",
            sensor=sensor,
        )["sensorOrError"]
        stopped = self.ask(
            "mutation ($id: String!) { stopSensor(id: $id) { __typename } }", id=found["sensorState"]["id"]
        )["stopSensor"]
        assert stopped["__typename"] == "StopSensorMutationResult", stopped

    def deliver(self, files: int = 1) -> None:
        """Let the demo's shop send its next files at once."""
        waiting = files
        while waiting:  # none is sent while a last tick of the feed is sending
            waiting -= next_delivery(self.root / ".kappa" / "landing", now=dt.datetime.now(dt.UTC)) is not None

    def movement(self) -> tuple[int, int]:
        """Return what grows while a run works: the number of files in the lake, and what is told of runs, in bytes.

        An idle stream adds to neither: its heartbeat is one file, and what sensors tell belongs to no run.
        """
        told = (self.root / ".dagster" / "history" / "runs").glob("*")
        return sum(1 for _ in self.lake.rglob("*")), sum(_size(p) for p in told if not p.name.startswith("index"))

    def reload(self) -> None:
        """Click Reload beside the code location."""
        self.ask(
            "mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }",
            name=LOCATION,
        )

    def launch(self, driver: Browser, job: str, config: str) -> str:
        """Type a config into a job's Launchpad, click Launch, and return the run's id once it has succeeded."""
        before = self.newest_run(job)
        driver.get(f"{self.url}/locations/{LOCATION}/jobs/{job}/playground")
        seen(driver, "Launch Run")
        driver.execute_script("document.querySelector('.CodeMirror').CodeMirror.setValue(arguments[0])", config)
        button = WebDriverWait(driver, 60).until(
            lambda d: next(
                (b for b in d.find_elements(By.TAG_NAME, "button") if "Launch Run" in b.text and b.is_enabled()), None
            )
        )
        assert button is not None
        button.click()

        def ended() -> dict[str, str] | None:
            run = self.newest_run(job)
            return run if run != before and run and run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

        run = eventually(ended, f"the run of {job} to end", moves=self.movement)
        assert run["status"] == "SUCCESS", f"{self.url}/runs/{run['runId']}: {run['status']}"
        return run["runId"]

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(120)

    def close(self) -> None:
        """End what is left, whatever happened: streams that outlived their Dagster too."""
        if self._process is not None and self._process.poll() is None:
            self.interrupt()
        alive = host_alive(Lake.at(self.lake)) if self.lake.is_dir() else None
        if alive is not None:
            os.kill(alive.pid, signal.SIGKILL)


@contextmanager
def make_run(root: Path) -> Iterator[Running]:
    """Run a copy of this checkout's package as `make run` does; it is ended whatever happens."""
    shutil.copytree(REPOSITORY / "kappa_assets", root / "kappa_assets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "workspace.yaml", root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Running(root, port)
    try:
        running.start()
        yield running
    finally:
        running.close()


def eventually(
    look: Callable[[], _Found | None],
    what: str,
    patience: float = 300.0,
    *,
    moves: Callable[[], object] = lambda: None,
) -> _Found:
    """Return what `look` finds, once it finds something.

    Raises AssertionError when for `patience` seconds nothing was found and `moves` gave the same answer: how long the
    work takes says how fast the machine is, and only work that stands still is a fault.
    """
    seen_last, deadline = moves(), time.monotonic() + patience
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(1)
        seen_now = moves()
        if seen_now != seen_last:
            seen_last, deadline = seen_now, time.monotonic() + patience
    raise AssertionError(f"waited for {what}, and for {patience:.0f} s nothing moved")


def seen(driver: Browser, *texts: str) -> None:
    """Wait until the page shows every text."""

    def shown(text: str) -> bool:
        return text in driver.find_element(By.TAG_NAME, "body").text

    for text in texts:
        eventually(functools.partial(shown, text), f"{text!r} on the page", 90)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a journal of SQLite that is gone again
        return 0


def _answers(running: Running) -> bool:
    try:
        return bool(running.ask("{ version }"))
    except OSError:
        return False


def _facts(materialization: dict[str, Any]) -> dict[str, str]:
    facts = {
        m["label"]: str(m.get("intValue", m.get("floatValue", m.get("text"))))
        for m in materialization["metadataEntries"]
    }
    facts["description"] = str(materialization["description"])
    return facts | {t["key"]: t["value"] for t in materialization["tags"]}
