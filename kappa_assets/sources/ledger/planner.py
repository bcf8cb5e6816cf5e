"""Which landed files are read next: those that are not on the tape, whatever a checkpoint remembers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kappa_assets.declare.source import Overwritten
from kappa_assets.faults import fault_point
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans
from kappa_assets.sources.ledger.landing_look import LandingLook
from kappa_assets.sources.ledger.ledger import Delivery, Known, Ledger, hash_of

log = logging.getLogger("kappa_assets.sources")

_SOON = 0.1
"""Seconds between two looks at folders that have changed."""
_SHARE = 20
"""A look at all files takes at most this part of a core: 100,000 files are looked at in 0.5 s, every ten seconds."""


class Planner:
    """Looks into a landing folder and plans batches. Its methods may be called from several threads."""

    def __init__(  # noqa: PLR0913 -- options of a declaration, by name
        self,
        table: str,
        folder: Path,
        ledger: Ledger,
        plans: DeliveryPlans,
        *,
        most: int,
        overwritten: Overwritten,
        pattern: str = "*",
        recursive: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most`: how many files a batch takes at most. `overwritten`, `pattern`, `recursive`: as `Files` has them."""
        self._table, self._ledger, self._plans = table, ledger, plans
        self._most, self._overwritten, self._clock = most, overwritten, clock
        self._look = LandingLook(folder, pattern, recursive)
        self._turn = threading.Lock()
        self._life = ledger.life
        self._waiting: set[int] = set()
        self._planned: set[str] = set()
        self._undecided: set[str] = set()
        self._next_full = self._next_look = clock()

    def begin(self) -> None:
        """Plan all that lies there, beside what Spark has still to do. Only while no query runs. Raises OSError."""
        with self._turn:
            self._waiting = set(self._plans.begin())
            self._planned = set(self._plans.files_of(self._waiting))
            self._plan(all_files=True)

    def look(self) -> None:
        """Plan what has come, unless a batch is being waited for: what lands meanwhile is one batch after it.

        Raises OSError when the landing folder cannot be read.
        """
        now = self._clock()
        if self._waiting or now < self._next_look:
            return
        with self._turn:
            if not self._waiting:
                self._plan(all_files=now >= self._next_full)

    def done(self, numbers: Sequence[int]) -> None:
        """Note that the plans up to the last of these are done: what they named and is not on the tape is new again."""
        with self._turn:
            self._waiting = {number for number in self._waiting if number > max(numbers)}
            if not self._waiting:
                self._planned = set()
            self._plans.remove_before(min(numbers))
        self._next_look = self._clock()

    def unknown(self, found: Sequence[Delivery]) -> Iterator[Delivery]:
        """Yield those of the files that are not on the tape, and were not set aside as they are now.

        A file of a known name and another time has its bytes compared: the same bytes are noted, and not yielded.
        """
        found = self._ledger.unlike(found)
        known = self._ledger.find([one.file for one in found])
        as_before = self._ledger.find([_name(one) for one in found if "=" in one.file])
        for one in found:
            if one.file in known and self._is_known(one, known[one.file]):
                continue
            if as_before and any(_is_of_version_0_1(one, k) for k in as_before.get(_name(one), ())):
                continue
            yield one

    def _plan(self, *, all_files: bool) -> None:
        began = self._clock()
        if self._life != self._ledger.life:
            self._life = self._ledger.life
            self._look.forget()
            all_files = True
        found = self._look.changed(all_files=all_files)
        asked = self._without_other_names(found)
        self._undecided.clear()
        fresh = list(self.unknown(asked))
        open_questions = self._undecided.union(one.file for one in fresh)
        self._look.settle(one for one in asked if one.file not in open_questions)
        fresh = [one for one in fresh if one.file not in self._planned]
        for start in range(0, len(fresh), self._most):
            part = fresh[start : start + self._most]
            self._waiting.add(self._plans.write([one.file for one in part]))
            fault_point("planned", self._table)
        self._planned |= {one.file for one in fresh}
        ended = self._clock()
        self._next_look = ended + max(_SOON, _SHARE / 4 * (ended - began))
        if all_files:
            self._next_full = ended + max(1.0, _SHARE * (ended - began))

    def _without_other_names(self, found: Sequence[Delivery]) -> list[Delivery]:
        """Leave out the other names of a file that has several: the one on the tape counts, or else the first."""
        names = [name for same in self._look.names_of_one_file for name in same]
        if not names:
            return list(found)
        known = self._ledger.find(names)
        passed_by: dict[str, str] = {}
        for same in self._look.names_of_one_file:
            kept = next((name for name in same if name in known), same[0])
            passed_by |= {name: kept for name in same if name != kept and name not in known}
        for one in found:
            if one.file in passed_by:
                self._look.tell(one.file, passed_by[one.file])
        return [one for one in found if one.file not in passed_by]

    def _is_known(self, one: Delivery, known: Sequence[Known]) -> bool:
        for k in known:
            if k.modified_ms == one.modified_ms and k.bytes == one.bytes:
                return True
        if self._overwritten == "name":
            return True
        if any(k.bytes is None and one.modified_ms <= k.modified_ms for k in known):
            return True
        same_size = [k for k in known if k.bytes == one.bytes]
        if not same_size:
            return False
        try:
            digest = one.hash or hash_of(self._look.folder / one.file)
        except OSError:  # not now; the next look at all files asks again
            self._undecided.add(one.file)
            return True
        same = next((k for k in same_size if k.hash in (None, digest)), None)
        if same is not None:
            self._ledger.note([one._replace(hash=same.hash)], set_aside=bool(same.set_aside))
        return same is not None


def _name(one: Delivery) -> str:
    return one.file.rpartition("/")[2]


def _is_of_version_0_1(one: Delivery, known: Known) -> bool:
    """Return whether an early version called this file, in a folder called `key=value`, by its name alone."""
    folder = one.file.rpartition("/")[0]
    return "=" in folder and known.hash is None and (known.bytes, known.modified_ms) == (one.bytes, one.modified_ms)
