"""Which deletes a state lets go of: those so old that no change which is still taken in can be older.

A change is taken in when it is at most a span old at its arrival. So what arrives from now on may be as old as that;
that it may come on the tape as much later than what arrived after it is allowed for by another span.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import ARRIVED_AT
from kappa_assets.declare.options.cdc import Cdc
from kappa_assets.kinds.cdc.merging import DELETES, TRUNCATES

_NEWEST, _BEFORE = "newest_arrival", "forgotten_before"


@dataclass(frozen=True)
class Forgetting:
    """What is known of the ages of changes, in microseconds since 1970, once a batch is taken in.

    `newest`: when the newest of them arrived; None: of none it is known. `before`: deletes of before are gone; None:
    none was looked at yet. `is_due`: whether all are to be looked through with this batch.
    """

    newest: int | None
    before: int | None
    is_due: bool

    def told(self) -> dict[str, int]:
        """Return it as the note of the state has it."""
        known = {_NEWEST: self.newest, _BEFORE: self.before}
        return {name: at for name, at in known.items() if at is not None}


def forgetting(span: dt.timedelta, known: Mapping[str, int], changes: DataFrame) -> Forgetting:
    """Return what is known with the changes of a batch. All are looked through once in a span, and not each time.

    `known`: what the note of the state says.
    """
    micros = span // dt.timedelta(microseconds=1)
    arrived = changes.agg(F.max(F.unix_micros(ARRIVED_AT))).collect()[0][0]
    newest = max((at for at in (known.get(_NEWEST), arrived) if at is not None), default=None)
    before = known.get(_BEFORE)
    if newest is None or (before is not None and newest - 2 * micros < before + micros):
        return Forgetting(newest, before, False)
    return Forgetting(newest, newest - 2 * micros, True)


def without_old_deletes(cdc: Cdc, kept: DataFrame, before: int) -> DataFrame:
    """Return kept changes without those that delete a key, and are of before a moment."""
    is_old = ~F.expr(cdc.is_from(f"timestamp_micros({before})"))
    return kept.where(~(F.col(DELETES) & ~F.col(TRUNCATES) & is_old))
