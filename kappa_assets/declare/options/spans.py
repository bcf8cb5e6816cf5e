"""Spans of time as a declaration writes them: `10 minutes`, `36 hours`, `2 days`."""

from __future__ import annotations

import datetime as dt
import re

from kappa_assets.declare.origin import Origin
from kappa_assets.errors import DeclarationError

_SPAN = re.compile(r"(\d{1,5}(?:\.\d{1,6})?)\s*(second|minute|hour|day)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def seconds_in(text: object, pattern: re.Pattern[str]) -> float:
    """Return the seconds of a span that fits a pattern, whose groups are a number and a unit; 0 for any other value."""
    match = pattern.fullmatch(text.strip()) if isinstance(text, str) else None
    return float(match[1]) * _SECONDS[match[2]] if match is not None else 0.0


def time_span(what: str, text: object, origin: Origin, example: str) -> dt.timedelta:
    """Return a span of time above zero. Raises DeclarationError."""
    span = dt.timedelta(seconds=seconds_in(text, _SPAN))
    if span <= dt.timedelta():
        raise DeclarationError(
            f"{what} is no time span above zero: {text!r}",
            origin=origin,
            hint=f"A number of seconds, minutes, hours or days: {example!r}.",
        )
    return span


def whole_days(what: str, text: object, origin: Origin, example: str) -> int:
    """Return a span as a number of days. Raises DeclarationError for one that is no whole number of them."""
    span = time_span(what, text, origin, example)
    if span % dt.timedelta(days=1):
        raise DeclarationError(
            f"{what} is no whole number of days: {text!r}",
            origin=origin,
            hint=f"It is measured between days of arrival: {example!r}.",
        )
    return span.days
