"""The host's sign of life, from a thread of its own: a long batch must not look like a frozen host."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

log = logging.getLogger("kappa_assets.host")

_EVERY = 2.0


class Heartbeat:
    """Calls `say` every two seconds while the block runs. A stopped process (SIGSTOP) stops this thread too.

    Whatever `say` raises, the next beat comes: it is logged once, and again when it is another error.
    """

    def __init__(self, say: Callable[[], None], every: float = _EVERY) -> None:
        self._say = say
        self._every = every
        self._turn = threading.Lock()
        self._told: str | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kappa heartbeat", daemon=True)

    def __enter__(self) -> None:
        self.beat()
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def beat(self) -> None:
        """Give a sign of life now."""
        with self._turn:
            try:
                self._say()
            except Exception as error:  # noqa: BLE001 -- of a host without heartbeat others may think that it is dead
                self._tell(f"{type(error).__name__}: {error}")
            else:
                self._tell(None)

    def _tell(self, trouble: str | None) -> None:
        if trouble == self._told:
            return
        self._told = trouble
        if trouble is None:
            log.info("the heartbeat is written again")
        else:
            log.warning("the heartbeat cannot be written: %s", trouble)

    def _run(self) -> None:
        while not self._done.wait(self._every):
            self.beat()
