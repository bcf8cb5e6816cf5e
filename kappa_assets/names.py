"""What a table is called, parsed once; paths, asset keys and SQL names are all built from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from kappa_assets.errors import InvalidName

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Layer(StrEnum):
    """The three layers, in the order data flows."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


def identifier(text: str, *, what: str, origin: object = None) -> str:
    """Return `text` if it is a plain lower-case identifier.

    Raises InvalidName otherwise: names become folders, asset keys and SQL identifiers, and one rule fits all.
    """
    if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
        raise InvalidName(
            f"{what} {text!r} is no identifier",
            origin=origin,
            hint="Use a lower-case letter followed by at most 63 lower-case letters, digits or underscores.",
        )
    return text


@dataclass(frozen=True, order=True)
class TableName:
    """A layer and a name: `silver.sales`; also its asset key, `["silver", "sales"]`."""

    layer: Layer
    name: str

    def __post_init__(self) -> None:
        identifier(self.name, what="table name")

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Return the name written as `layer.name`. Raises InvalidName."""
        layer, dot, name = text.partition(".")
        if not dot or layer not in set(Layer):
            raise InvalidName(
                f"table name {text!r} has no layer",
                hint="Write it as bronze.<name>, silver.<name> or gold.<name>.",
            )
        return cls(Layer(layer), identifier(name, what="table name"))

    @property
    def key(self) -> tuple[str, str]:
        """The parts of the Dagster asset key."""
        return (self.layer.value, self.name)

    @property
    def is_tape(self) -> bool:
        """Whether it is the name of a tape: a Bronze table, with one generation for ever."""
        return self.layer is Layer.BRONZE

    def __str__(self) -> str:
        return f"{self.layer}.{self.name}"
