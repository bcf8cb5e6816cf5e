"""While a long command runs: what is happening goes to standard error, and a signal asks it to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from kappa_assets.host.host_status import QueryStatus

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Notes Ctrl-C, SIGTERM and SIGHUP, so that work stops after its batch. A second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self) -> str | None:
        """Return why to stop, or None: what a host asks several times a second."""
        return self.reason

    def listen(self) -> None:
        """Take the signals over. To be called again once Spark runs: pyspark puts a handler of its own on Ctrl-C."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.reason = f"asked to stop ({signal.Signals(number).name})"
        # Not print: a signal may come in the middle of another print, which Python refuses to enter again.
        os.write(2, b"stopping after the current batch; Ctrl-C again stops at once\n")


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Listen to the signals for the block."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    asked = StopRequest()
    asked.listen()
    try:
        yield asked
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


class Progress:
    """What a running command says: lines, and on a terminal a last line that moves."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._moving = self._console.status("starting Spark") if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._moving is not None:
            self._moving.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._moving is not None:
            self._moving.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False, soft_wrap=True)

    def queries(self, statuses: Iterable[QueryStatus]) -> None:
        """Show how the queries are doing, on the line that moves."""
        if self._moving is not None:
            self._moving.update(" · ".join(_short(s) for s in statuses))

    def watching(self, stop: StopRequest, statuses: Callable[[], Iterable[QueryStatus]]) -> Callable[[], str | None]:
        """Return the `wanted` of a host: `stop`, with a look at the queries each time it is asked."""

        def wanted() -> str | None:
            self.queries(statuses())
            return stop()

        return wanted


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress for the block, with what the host logs."""
    log = logging.getLogger("kappa_assets")
    with Progress() as shown:
        handler = _Lines(shown)
        level = log.level
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            yield shown
        finally:
            log.removeHandler(handler)
            log.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self, shown: Progress) -> None:
        super().__init__()
        self._shown = shown
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._shown.say(self.format(record))


def _short(query: QueryStatus) -> str:
    batch = "" if query.batch is None else f" batch {query.batch} in {query.batch_seconds} s"
    source = f" ({query.source})" if query.source else ""
    return f"{query.table}{source} {query.state}{batch}"
