"""How a batch of a joined table is applied, in words for people."""

from __future__ import annotations

from dataclasses import replace

from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.kinds.keyed.in_words import files_that_may_hold_groups, groups_in_words, how_groups_are_replaced
from kappa_assets.kinds.kind import Explanation
from kappa_assets.kinds.rewriting_query import IN_PROPORTION
from kappa_assets.logic.logic_check import Answer

_TOGETHER = (
    "Those that stand on one tape are read at the newest position of it that all can show, those of different tapes at "
    "their newest version."
)


def joined_in_words(table: Gold | Silver, upstream: str, answer: Answer | None) -> Explanation:
    """Say how a batch of a table is applied that names its groups in each upstream."""
    names = ", ".join(f"{', '.join(columns)} of {parameter}" for parameter, columns in table.groups_of.items())
    every = f"Say every=, such as '10 minutes', if it need not follow each change of {upstream}."
    keep = (
        f"Say keep_inputs=True where {upstream} are large and a batch touches few groups: what the function uses is "
        "then kept beside the table too, in the order of its groups, and a batch reads the files that may hold one."
    )
    return Explanation(
        "The groups that a change of any upstream touches are recomputed from all of them; what the function gives of "
        f"them takes the place of their rows. {_TOGETHER}",
        f"The changes since the last batch, and {files_that_may_hold_groups(upstream)}. Groups are told by {names}.",
        how_groups_are_replaced(answer),
        groups_in_words(answer),
        (keep,) if table.every is not None else (keep, every),
    )


def kept_join_in_words(table: Gold | Silver, upstream: str, answer: Answer | None) -> Explanation:
    """Say how a batch of a table is applied that keeps what it joins."""
    plain = joined_in_words(table, upstream, answer)
    by = "its groups" if answer is None or answer.groups is None else ", ".join(answer.groups.by)
    return replace(
        plain,
        batch=f"What changes in {upstream} is changed in what the table keeps of them beside itself, in a commit of "
        "its own. Then the groups that this touches are recomputed from what is kept; what the function gives of them "
        f"takes the place of their rows. {_TOGETHER}",
        reads=f"The changes since the last batch, and of what is kept, in the order of {by}, the files that may hold a "
        f"group that they touch; up to {IN_PROPORTION >> 20} MB all of it. Lost or older, it is built anew from all "
        f"files of {upstream}.",
        cheaper=plain.cheaper[1:],
    )


def whole_in_words(table: Gold | Silver, upstream: str, _: Answer | None) -> Explanation:
    """Say how a batch of a table is applied that is computed from all of several upstreams."""
    often = "at each of their changes" if table.every is None else f"at most once in {table.every:g} s"
    by = "Say by={'<parameter>': '<column>', ...}, if its rows belong to groups that all of its upstreams have."
    every = f"Say every=, such as '10 minutes', if it need not follow each change of {upstream}."
    return Explanation(
        f"The function is called with all of {upstream}, {often}, and what it gives takes the place of all rows. "
        f"{_TOGETHER}",
        f"All of {upstream}, {often}.",
        "All of it is written anew; nothing is where it is seen that no row differs.",
        cheaper=(by, *([every] if table.every is None else [])),
    )
