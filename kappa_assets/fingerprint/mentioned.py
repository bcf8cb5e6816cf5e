"""Which names a table's logic mentions, anywhere: as text, as a name, in a schema or a path of JSON."""

from __future__ import annotations

import functools
import json
import re

from kappa_assets.declare.tables import Derived
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.closure import Closure

_WORD = re.compile(r"\w+")


@functools.cache
def mentioned_words(table: Derived) -> frozenset[str]:
    """Return all words in the code that a table's function reaches in its pipeline, docstrings and comments left out.

    What it reads of its payload is among them, however it does so: `get_json_object(value, '$.price')`, a schema in
    SQL's words, `row["price"]` in Python. So a field that is not among them is read by name nowhere.
    """
    return frozenset(_WORD.findall(json.dumps(Closure(table).pieces, ensure_ascii=False)))


def mentions(table: Derived, name: str) -> bool:
    """Return whether the logic mentions a name: all words that it consists of. True where its code cannot be read."""
    try:
        return mentioned_words(table).issuperset(_WORD.findall(name))
    except DeclarationError:  # such a table says its version itself, and runs
        return True
