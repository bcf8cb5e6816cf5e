"""A query that looks for itself is asked to while it runs, and a look that fails is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from kappa_assets.host.lookout import Lookout

if TYPE_CHECKING:
    from kappa_assets.kinds.query import TableQuery


class Looking:
    """Looks three times, and then finds its folder gone."""

    def __init__(self) -> None:
        self.looks = 0
        self.gone = threading.Event()

    def look(self) -> None:
        self.looks += 1
        if self.looks > 3:
            self.gone.set()
            raise FileNotFoundError("landing")


def test_a_look_that_fails_ends_the_looks_and_is_told() -> None:
    query = Looking()
    lookout = Lookout(cast("TableQuery", query))
    lookout.between_batches()
    assert query.looks == 0, "not before it runs"
    ended = threading.Event()
    lookout.start(lambda: not ended.is_set())
    assert query.gone.wait(30)
    for thread in threading.enumerate():
        if thread.daemon and thread.name.endswith("(_watch)"):
            thread.join(30)
    assert isinstance(lookout.failure, FileNotFoundError)
    lookout.between_batches()
    assert query.looks == 5, "and what fails between two batches fails no batch"
    lookout.stop()
    lookout.between_batches()
    assert query.looks == 5


def test_a_query_that_does_not_look_is_left_alone() -> None:
    lookout = Lookout(cast("TableQuery", object()))
    lookout.start(lambda: True)
    lookout.between_batches()
    assert lookout.failure is None
