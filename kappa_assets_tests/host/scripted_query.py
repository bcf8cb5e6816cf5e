"""A query whose starts go as a test has scripted them, with a clock that only tests move."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.names import TableName
from kappa_assets.place.port import StoredTable

Happening = Callable[["Script"], None]


@dataclass
class Script:
    """A query whose starts go as scripted: each start takes the next happening."""

    folder: Path
    happenings: list[Happening] = field(default_factory=list)
    ready: bool = True
    started: int = 0
    applied: list[int] = field(default_factory=list)
    streaming: FakeStreaming | None = None
    callback: Callable[[Any, int], None] | None = None
    table: TableName = field(default_factory=lambda: TableName.parse("silver.sales"))
    generation: int = 1
    every: float = 0.0
    upstreams: tuple[StoredTable, ...] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.folder)

    def is_ready(self) -> bool:
        return self.ready

    def prepare(self) -> None:
        self.started += 1

    def stream(self) -> FakeWriter:
        return FakeWriter(self)

    def apply(self, batch: object, number: int) -> None:
        if isinstance(batch, BaseException):
            raise batch
        self.applied.append(number)


@dataclass
class FakeStreaming:
    """A StreamingQuery that runs until its script ends it."""

    isActive: bool = True  # noqa: N815  # Spark's name
    error: BaseException | None = None
    stopped: bool = False

    def exception(self) -> BaseException | None:
        return self.error

    looking: bool = False

    @property
    def status(self) -> dict[str, bool]:
        return {"isTriggerActive": self.looking}

    def stop(self) -> None:
        self.isActive, self.stopped = False, True

    def end(self, error: BaseException | None) -> None:
        self.isActive, self.error = False, error


@dataclass
class FakeWriter:
    """`stream().writeStream...start()`."""

    script: Script
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def writeStream(self) -> FakeWriter:  # noqa: N802  # Spark's name
        return self

    def foreachBatch(self, callback: Callable[[Any, int], None]) -> FakeWriter:  # noqa: N802  # Spark's name
        self.script.callback = callback
        return self

    def option(self, name: str, value: Any) -> FakeWriter:
        self.options[name] = value
        return self

    def queryName(self, name: str) -> FakeWriter:  # noqa: N802  # Spark's name
        return self.option("name", name)

    def trigger(self, **how: Any) -> FakeWriter:
        return self.option("trigger", how)

    def start(self) -> FakeStreaming:
        assert self.options["checkpointLocation"] == str(self.script.folder)
        self.script.streaming = FakeStreaming()
        if self.script.happenings:
            self.script.happenings.pop(0)(self.script)
        return self.script.streaming


def fails(error: BaseException) -> Happening:
    """The query runs, and ends with `error`."""

    def happen(script: Script) -> None:
        assert script.streaming is not None
        script.streaming.end(error)

    return happen


def refuses(error: BaseException) -> Happening:
    """Spark refuses to start the query."""

    def happen(script: Script) -> None:
        raise error

    return happen


def batch_then_fails(batch: object, error: BaseException) -> Happening:
    """A batch is applied, or fails, and the query ends with Spark's own error."""

    def happen(script: Script) -> None:
        assert script.streaming is not None
        assert script.callback is not None
        with contextlib.suppress(type(batch) if isinstance(batch, BaseException) else ZeroDivisionError):
            script.callback(batch, 7)
        script.streaming.end(error)

    return happen


def ends(script: Script) -> None:
    """The query has caught up."""
    assert script.streaming is not None
    script.streaming.end(None)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now
