"""Names of columns: what a header's name becomes, and which names Spark takes for one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT, BATCH_ID, INGESTED_AT, MALFORMED, ROW, SOURCE

_NOT_IN_A_NAME = re.compile(r"[ ,;{}()\n\t\r=.`\"]+")
_COMBINING_DOT = "\u0307"
RESERVED = frozenset((SOURCE, BATCH_ID, ROW, INGESTED_AT, ARRIVED_AT, ARRIVAL_DATE, MALFORMED, "_metadata"))
"""Names that Bronze, or Spark's reader, gives to columns of its own."""


def column_name(name: str) -> str:
    """Return a header's name without the characters Delta refuses in column names."""
    return _NOT_IN_A_NAME.sub("_", name.strip())


def same_name(name: str) -> str:
    """Return what two names have in common exactly when Spark or Delta takes them for one column.

    Java's `equalsIgnoreCase` compares character by character, in upper and then in lower case, so that the micro sign
    is a mu and a dotless i an i; its `toLowerCase` makes two characters of one. Python's `lower` and `casefold` agree
    with neither: a tape's column was made null because a file had its name in the other letter.
    """
    simple = "".join(_simple_lower(_simple_upper(c)) for c in name)
    return simple.replace("i" + _COMBINING_DOT, "i")


def repeated(names: Iterable[str]) -> bool:
    """Return whether Spark takes two of the names for one."""
    keys = [same_name(name) for name in names]
    return len(set(keys)) < len(keys)


def _simple_upper(character: str) -> str:
    """Return the upper case that is one character, as Java's `Character.toUpperCase`: a sharp s has none."""
    upper, title = character.upper(), character.title()
    return upper if len(upper) == 1 else title if len(title) == 1 else character


def _simple_lower(character: str) -> str:
    """Return the lower case that is one character: of a capital i with a dot it is a plain i."""
    return character.lower()[0]
