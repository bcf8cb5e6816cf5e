"""How late a row is: a property of the row alone, told by the time of its event and the moment it arrived.

All is compared as whole microseconds since 1970, never as a difference of two times, which may be too large for a
number: years of events are as wrong as people can write them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise

from pyspark.sql import Column
from pyspark.sql import functions as F

from kappa_assets.columns import ARRIVED_AT, quoted
from kappa_assets.declare.tables import AHEAD, LATE, Late
from kappa_assets.log.note import DELAYS, UNKNOWN_DELAY

_DAY = 86_400_000_000
_FAR = 100_000_000
"""Days beyond which a date is taken for one at that distance: its microseconds would be no long."""


def untimely(late: Late) -> Mapping[str, Column]:
    """Return whether a row is late, and whether it is ahead; one of which either time is unknown is neither."""
    event, arrived = _event(late), _arrived()
    return {
        LATE: F.lit(False) if late.after is None else F.coalesce(event < arrived - _micros(late.after), F.lit(False)),
        AHEAD: F.lit(False) if late.ahead is None else F.coalesce(event > arrived + _micros(late.ahead), F.lit(False)),
    }


def reasons(late: Late | None, *policies: str) -> tuple[str, ...]:
    """Return LATE and AHEAD, where some rows of a table are, and one of these policies says what becomes of them."""
    if late is None:
        return ()
    bounds = {LATE: (late.after, late.policy), AHEAD: (late.ahead, late.ahead_policy)}
    return tuple(name for name, (bound, policy) in bounds.items() if bound is not None and policy in policies)


def set_aside_for_time(late: Late | None, *policies: str) -> Mapping[str, Column]:
    """Return, by the reason, whether a row is set aside for its time by one of these policies."""
    return {} if late is None else {name: untimely(late)[name] for name in reasons(late, *policies)}


def reached(late: Late) -> Mapping[int, Column]:
    """Return, by each bound between two DELAYS, whether a row's event lies at least so many days before its arrival.

    Under 0, whether both times are known. Counts of these give the number of rows of each delay, by `by_delay`.
    """
    event, arrived = _event(late), _arrived()
    known = event.isNotNull() & arrived.isNotNull()
    return {first: event <= arrived - first * _DAY if first else known for first in DELAYS.values()}


def by_delay(given: int, counts: Mapping[int, int]) -> dict[str, int]:
    """Return how many of the `given` rows there are of each delay that has any, from the counts of `reached`."""
    cumulated = [*(counts.get(first, 0) for first in DELAYS.values()), 0]
    rows = {name: more - less for name, (more, less) in zip(DELAYS, pairwise(cumulated), strict=True)}
    rows[UNKNOWN_DELAY] = given - cumulated[0]
    return {name: number for name, number in rows.items() if number}


def _event(late: Late) -> Column:
    column = F.col(quoted(late.event_time))
    days = F.unix_date(column.cast("date"))
    near = F.when(days < -_FAR, F.lit(-_FAR)).when(days > _FAR, F.lit(_FAR)).otherwise(days)  # of null it is null
    midnight = near.cast("long") * F.lit(_DAY)
    return F.when(F.typeof(column) == "date", midnight).otherwise(F.unix_micros(column.cast("timestamp")))


def _arrived() -> Column:
    return F.unix_micros(F.col(ARRIVED_AT))


def _micros(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)
