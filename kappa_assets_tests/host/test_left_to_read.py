"""How long a query has not been at the end of what it reads: since the first look that found something left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from kappa_assets.host.lookout import LeftToRead
from kappa_assets.kinds.query import TableQuery
from kappa_assets_tests.host.scripted_query import Clock, Script


class Reader(Script):
    """A query whose progress is what is left."""

    def unread(self, progress: Callable[[], Mapping[str, Any]]) -> Mapping[str, int] | None:
        return progress().get("left")


def test_what_is_left_is_told_with_the_time_since_nothing_was(tmp_path: Path) -> None:
    clock = Clock()
    left = LeftToRead(cast("TableQuery", Reader(tmp_path)), clock)

    def look(told: Mapping[str, int] | None) -> tuple[Mapping[str, int] | None, float | None]:
        clock.now += 10
        said = None if told is None else SimpleNamespace(json=json.dumps({"left": told}))
        left.look(cast("Any", SimpleNamespace(lastProgress=said)))
        return left.records, left.seconds

    assert look(None) == (None, None)
    assert look({"0": 0}) == ({"0": 0}, 0.0)
    assert look({"0": 3}) == ({"0": 3}, 0.0)
    assert look({"0": 1, "1": 5}) == ({"0": 1, "1": 5}, 10.0)
    clock.now += 5
    assert left.seconds == 15.0, "it goes on while the query is tried again"
    assert look({"0": 0, "1": 0}) == ({"0": 0, "1": 0}, 0.0)
    assert look({"0": 2}) == ({"0": 2}, 0.0)


def test_a_query_that_does_not_know_has_nothing_to_tell(tmp_path: Path) -> None:
    left = LeftToRead(cast("TableQuery", Script(tmp_path)), Clock())
    left.look(cast("Any", None))
    assert (left.records, left.seconds) == (None, None)
