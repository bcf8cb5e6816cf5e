"""The host's sign of life, from a thread of its own: a long batch must not look like a frozen host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

_EVERY = 2.0


class Heartbeat:
    """Calls `beat` every two seconds while the block runs. A stopped process (SIGSTOP) stops this thread too."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kappa heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._beat()
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_EVERY):
            self._beat()
