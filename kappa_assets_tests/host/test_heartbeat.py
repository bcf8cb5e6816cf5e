"""The heartbeat goes on whatever goes wrong with it, and says each trouble once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from kappa_assets.errors import LakeError
from kappa_assets.host.heartbeat import Heartbeat

if TYPE_CHECKING:
    import pytest


class Life:
    """Says what its script tells, in turn; when it is through, so is the test."""

    def __init__(self, *script: Exception | None) -> None:
        self._script = list(script)
        self.over = threading.Event()

    def __call__(self) -> None:
        if not self._script:
            self.over.set()
            return
        error = self._script.pop(0)
        if error is not None:
            raise error


def test_the_heartbeat_outlives_every_error_and_tells_each_once(caplog: pytest.LogCaptureFixture) -> None:
    full = OSError(28, "No space left on device")
    life = Life(
        LakeError("at once"), None, full, full, full, DeltaError("the registry"), None, KeyError("odd"), full, full
    )
    with caplog.at_level("INFO", "kappa_assets.host"), Heartbeat(life, every=0.001):
        assert life.over.wait(60)
    said = [record.getMessage().removeprefix("the heartbeat ") for record in caplog.records]
    assert [line.removeprefix("cannot be written: ").split(":")[0] for line in said] == [
        "LakeError",
        "is written again",
        "OSError",
        "DeltaError",
        "is written again",
        "KeyError",
        "OSError",
        "is written again",
    ]


def test_an_error_in_a_last_word_does_not_hide_how_the_host_ended() -> None:
    heart = Heartbeat(Life(None, LakeError("gone")), every=60)
    with heart:
        heart.beat()
