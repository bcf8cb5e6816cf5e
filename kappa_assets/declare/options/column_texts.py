"""What a table's text says of its columns: people who look at a column see it there."""

from __future__ import annotations

import re

_ITEM = re.compile(r"^[ \t]*[-*][ \t]+(.+(?:\n(?![ \t]*[-*][ \t]|[ \t]*\n)[ \t]+.+)*)", re.MULTILINE)
_NAME = r"`([^`\s.]+)`"
_NAMES = re.compile(rf"{_NAME}(?:(?:,? and |, ){_NAME})*")
_PART = re.compile(r"; (?=`)")


def described_columns(text: str) -> dict[str, str]:
    """Return, by column, what the lists of a docstring say of it.

    An item names columns in backticks and says what they are: "- `quantity`: pieces; `amount`, `tax`: pounds". What
    only mentions a column further on in a sentence, or names it and says nothing, describes none.
    """
    found: dict[str, str] = {}
    for item in _ITEM.findall(text):
        for part in _PART.split(" ".join(item.split())):
            names = _NAMES.match(part)
            said = part[names.end() :].removeprefix(":").strip().rstrip(".") if names else ""
            if names and said:
                found |= dict.fromkeys(re.findall(_NAME, names.group()), said)
    return found
