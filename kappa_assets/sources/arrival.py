"""When a row arrived: what its source says, where that can be, else the moment it was read."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

_EARLIEST = "2000-01-01"
_TOLERANCE = "INTERVAL 5 MINUTES"
"""How far clocks of machines may be apart: file servers with NTP are milliseconds off, and without it a few minutes."""
_FIRST_TO_SEE_A_DAY = "INTERVAL 14 HOURS"
"""UTC+14, where a day begins first."""


@dataclass(frozen=True)
class Arrival:
    """When a row arrived, and whether its source gave a time that cannot be."""

    at: Column
    implausible: Column


def arrival(given: Column, now: Column, of_a_date: Column | None = None) -> Arrival:
    """Return when a row arrived whose source gives the time `given`, read at `now`.

    `of_a_date`: whether `given` is the midnight of a date that somebody has written, such as one in a file's name.

    - From 2000 on, and not after `now`: as given. Nothing given: `now`.
    - A date stands for its midnight in UTC, also before that has come: up to 14 hours ahead, the date of a
      file that is named in local time east of Greenwich, and up to five minutes more. So a file lies in the slice of
      its date, whether it is read live or later.
    - A time up to five minutes ahead, in a name or a file's own: `now`. The clocks differ by so much.
    - Any other time: `now`, and it is implausible.
    """
    tolerance, ahead = F.expr(_TOLERANCE), F.expr(_FIRST_TO_SEE_A_DAY)
    early = given < F.lit(_EARLIEST).cast("timestamp")
    # Asked only where the time is ahead: that is one comparison for nearly every row.
    is_date = F.lit(False) if of_a_date is None else F.coalesce(of_a_date, F.lit(False))
    date = (given <= now + ahead + tolerance) & is_date
    implausible = early | ((given > now + tolerance) & ~date)
    return Arrival(
        F.when(early, now).when((given <= now) | date, given).otherwise(now),
        F.coalesce(implausible, F.lit(False)),
    )
