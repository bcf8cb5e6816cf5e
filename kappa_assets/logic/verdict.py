"""What a plan says of a table's groups: a value that stands for the plan once it is gone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why groups cannot be recomputed alone, and what to write instead."""

    node: str
    """The operator of the plan: `Window`."""
    column: str | None
    """The column that it does not keep apart, if it is about one."""
    what: str
    hint: str


@dataclass(frozen=True)
class Feed:
    """Where in the plan the groups of the rows that one reading of the upstream takes can be read off."""

    path: tuple[int, ...]
    """Which child to take at each step from the top of the plan."""
    places: tuple[int, ...]
    """Which columns of the operator's output, in the order of `by`."""


@dataclass(frozen=True)
class Verdict:
    """The groups of a table that may be recomputed alone, for one code version and one schema of each upstream."""

    by: tuple[str, ...]
    """The columns of the table that name a group."""
    groups: tuple[str, ...]
    """What each of them is of a row of the upstream, for people."""
    columns: tuple[str, ...]
    """The columns of the upstream that they are made of; none where there are several upstreams."""
    plain: tuple[str, ...]
    """The columns of the upstream that they are, in the order of `by`; none where one is computed, as for `columns`."""
    feeds: tuple[Feed, ...]
    """Where computed groups are read off; none where all are plain."""
    believed: bool
    """Whether Python functions give the groups, so that each answer is to be checked."""
    keys_are_unique: bool
    """Whether the plan proves that no key comes twice."""
    refusals: tuple[Refusal, ...] = ()
    plain_of: tuple[tuple[str, ...], ...] = ()
    """Where the declaration names groups of each upstream: the columns that they are, as `plain`, of each in turn."""
