"""What batches of a table with groups read and write, and what makes them dear, in words for people."""

from __future__ import annotations

from dataclasses import replace

from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.kind import Explanation
from kappa_assets.kinds.rewriting_query import IN_PROPORTION, MOST_GROUPS, ordered
from kappa_assets.logic.analysed import columns_used
from kappa_assets.logic.logic_check import Answer


def how_groups_are_replaced(answer: Answer | None) -> str:
    """Return in words what is read and written of a table whose groups are replaced."""
    whole = f"Up to {IN_PROPORTION >> 20} MB all of it is written anew with each batch"
    if answer is None or answer.groups is None:
        return f"{whole}; beyond, the files that may hold a touched group, where its groups can be ordered."
    order = ordered(answer.groups.by, answer.rows.schema)
    if not order:
        kinds = {name: answer.rows.schema[name].dataType.simpleString() for name in answer.groups.by}
        shown = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        return f"All of it is written anew with each batch: no bounds of files tell where values of {shown} are."
    return (
        f"{whole}. Beyond, its files lie in the order of {', '.join(order)}, and a batch replaces those that may "
        f"hold a group that it touches; one that touches more than {MOST_GROUPS:,} groups writes all of it."
    )


def rows_of_groups_read(upstream: str, answer: Answer | None) -> str:
    """Return in words what is read of the upstream to compute touched groups."""
    if answer is None or answer.groups is None:
        return f"what it uses of {upstream}, which is told once the columns of that are known."
    used = columns_used(answer.rows)
    columns = sorted(answer.groups.columns if used is None else used | set(answer.groups.columns))
    of = ", ".join(columns)
    if answer.groups.plain:
        return f"{of} of {files_that_may_hold_groups(upstream)}, at one version."
    return (
        f"{of} of all files of {upstream}, at one version: the function gets all rows, and of its answer the groups "
        "that the batch touches are kept."
    )


def files_that_may_hold_groups(upstream: str) -> str:
    """Return in words which files of its upstreams a batch of a table reads that recomputes touched groups."""
    return (
        f"the files of {upstream} that may hold a row of the groups that the batch touches: few where groups come in "
        f"order, as days do, and all where their rows are everywhere, or up to {IN_PROPORTION >> 20} MB"
    )


def what_is_dear(gold: Gold, upstream: str, answer: Answer | None) -> tuple[str, ...]:
    """Return what makes groups dear to recompute, and what to do about it."""
    if answer is None or answer.groups is None:
        return ()
    verdict = answer.groups
    found = []
    if not verdict.plain:
        shown = ", ".join(verdict.groups)
        found.append(
            f"Its groups are computed ({shown}), so the function reads all of {upstream} with each batch. Make the "
            f"group a column of {upstream}, and name that in keys."
        )
    if verdict.believed:
        found.append(
            "A Python function gives its rows, so each is compared with the groups that are touched: where Spark's "
            "own functions do, the plan proves it."
        )
    if not verdict.keys_are_unique:
        keys = ", ".join(gold.keys)
        found.append(f"Its plan does not prove that {keys} comes once, so it is counted: end with a groupBy of it.")
    if not ordered(verdict.by, answer.rows.schema):
        found.append(
            f"Name a group by a text, a whole number, a date or a time, not by {', '.join(verdict.by)}: then the "
            "bounds of files tell where it is, and a batch replaces few of them."
        )
    if verdict.plain and not gold.keep_inputs and not gold.combine:
        found.append(
            f"Say keep_inputs=True where {upstream} is large and a batch touches few groups: what the function uses is "
            "then kept beside the table too, in the order of its groups, and a batch reads the files that may hold one."
        )
    if gold.every is None and not verdict.plain:
        found.append(f"Say every=, such as '10 minutes', if it need not follow each batch of {upstream}.")
    return tuple(found)


def groups_in_words(answer: Answer | None) -> str | None:
    """Return what the groups of a table are; None where that is not known."""
    if answer is None or answer.groups is None:
        return None
    pairs = zip(answer.groups.by, answer.groups.groups, strict=True)
    return ", ".join(by if by == of else f"{by} = {of}" for by, of in pairs)


def explained(gold: Gold, upstream: str, answer: Answer | None) -> Explanation:
    """Say in words how a batch of a Gold whose groups are recomputed is applied."""
    return Explanation(
        f"The groups that a row of the batch is in, or was in before it was changed, are recomputed from {upstream}; "
        "what the function gives of them takes the place of their rows.",
        rows_of_groups_read(upstream, answer),
        how_groups_are_replaced(answer),
        groups_in_words(answer),
        what_is_dear(gold, upstream, answer),
    )


def explained_with_inputs(gold: Gold, upstream: str, answer: Answer | None) -> Explanation:
    """Say in words how a batch of a Gold is applied that keeps its inputs."""
    plain = explained(gold, upstream, answer)
    by = "its groups" if answer is None or answer.groups is None else ", ".join(answer.groups.plain)
    return replace(
        plain,
        batch=f"What the batch changes of {upstream} is changed in what the table keeps of it beside itself, in a "
        "commit of its own. Then the groups that it touches are recomputed from that, and replace their rows.",
        reads=f"The rows of the batch, and of what is kept, in the order of {by}, the files that may hold a group that "
        f"it touches; up to {IN_PROPORTION >> 20} MB all of it. Lost or older, it is built anew from {upstream}.",
    )
