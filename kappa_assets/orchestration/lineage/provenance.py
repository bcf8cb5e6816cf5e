"""The names under which Dagster keeps an event's provenance. They are its own: a test guards them against upgrades."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

DATA_VERSION = "dagster/data_version"
USER_PROVIDED = "dagster/data_version_is_user_provided"
CODE_VERSION = "dagster/code_version"
INPUT_DATA_VERSION = "dagster/input_data_version"
INPUT_POINTER = "dagster/input_event_pointer"
NO_POINTER = "NULL"
"""What Dagster writes where an input had no event."""

REPORTED = "kappa/reported"
"""Ours, on events of the lineage sensor alone: generation and newest version that the event tells of."""

_VERSION = re.compile(r"g(\d+)\.v(-?\d+)")


@dataclass(frozen=True)
class Input:
    """What an event was made from: an upstream, its data version, and the storage id of its event (None: none)."""

    key: dg.AssetKey
    data_version: str
    pointer: int | None


def data_version(generation: int, version: int) -> str:
    """Return the data version of one Delta version of one generation: `g1.v43`."""
    return f"g{generation}.v{version}"


def parse_data_version(text: str | None) -> tuple[int, int] | None:
    """Return (generation, version) of a data version of ours, or None."""
    found = _VERSION.fullmatch(text or "")
    return None if found is None else (int(found[1]), int(found[2]))


def provenance_tags(version: str, code_version: str, inputs: Iterable[Input] = ()) -> dict[str, str]:
    """Return the tags that make an event say exactly what it was made from, by which logic."""
    tags = {DATA_VERSION: version, USER_PROVIDED: "true", CODE_VERSION: code_version}
    for read in inputs:
        name = read.key.to_user_string()
        tags[f"{INPUT_DATA_VERSION}/{name}"] = read.data_version
        tags[f"{INPUT_POINTER}/{name}"] = NO_POINTER if read.pointer is None else str(read.pointer)
    return tags


def kept_provenance(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the provenance in an event's tags, without what is ours: for a run that changed nothing."""
    return {name: value for name, value in tags.items() if name.startswith("dagster/") and name in _known(tags)}


def _known(tags: Mapping[str, str]) -> set[str]:
    fixed = {DATA_VERSION, USER_PROVIDED, CODE_VERSION}
    return {n for n in tags if n in fixed or n.startswith((INPUT_DATA_VERSION + "/", INPUT_POINTER + "/"))}
