"""Plain data in a form that is the same in every process and on every machine."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable

from kappa_assets.fingerprint.syntax import Json

_SCALARS = (type(None), bool, int, float, complex, bytes, decimal.Decimal, uuid.UUID)
_TIMES = (dt.date, dt.datetime, dt.time, dt.timedelta)


class NotPlain(Exception):  # caught where it is raised from; no user meets it
    """A value that is no plain data."""


def plain(value: object, relative: Callable[[str], str], other: Callable[[object], Json] | None = None) -> Json:
    """Return numbers, text, dates; lists, tuples, sets and dicts of them, the last two in no order.

    Text goes through `relative` first; what is not plain through `other`. Raises NotPlain when there is none.
    """
    kind = type(value)
    if isinstance(value, str) and kind is str:
        return ["str", relative(value)]
    if kind in _SCALARS or kind in _TIMES:
        return [kind.__name__, repr(value)]
    if isinstance(value, list | tuple) and kind in (list, tuple):
        return [kind.__name__, *(plain(item, relative, other) for item in value)]
    if isinstance(value, set | frozenset) and kind in (set, frozenset):
        return [kind.__name__, *sorted((plain(item, relative, other) for item in value), key=str)]
    if isinstance(value, dict) and kind is dict:
        items: list[Json] = [[plain(k, relative, other), plain(v, relative, other)] for k, v in value.items()]
        return ["dict", *sorted(items, key=str)]
    if other is None:
        raise NotPlain
    return other(value)
