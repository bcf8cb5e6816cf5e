"""Gold with keys: the groups that a batch touches are recomputed, the others stay."""

from __future__ import annotations

from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.aggregate import AggregateQuery, FeedBatch, made_by
from kappa_assets.kinds.kind import Explanation, Kind
from kappa_assets.kinds.rewriting_query import IN_PROPORTION, MOST_GROUPS, Content, keys_of, ordered
from kappa_assets.kinds.touched import checked, recomputed_groups, semi_join, telling_what_is_mixed, touched_groups
from kappa_assets.log.positions import holds_all_read
from kappa_assets.logic.analysed import columns_used
from kappa_assets.logic.logic_check import Answer, check_groups
from kappa_assets.logic.verdict import Verdict


class KeyedQuery(AggregateQuery):
    """The query of a Gold whose touched groups are recomputed from the upstream at one version of it."""

    _verdict: Verdict
    _checked = staticmethod(check_groups)

    def apply(self, batch: DataFrame, number: int) -> None:
        with telling_what_is_mixed(self._gold, leave_out="keys"):
            super().apply(batch, number)

    def _answer(self, upstream: DataFrame) -> DataFrame:
        answer = self._checked(self._gold, upstream, unique=self._unique)
        assert answer.groups is not None  # noqa: S101 -- for mypy; a table with keys has groups, or is refused
        self._verdict = answer.groups
        return answer.rows

    def _ordered_by(self, schema: StructType) -> tuple[str, ...]:
        return ordered(self._verdict.by, schema)

    def _needed(self) -> frozenset[str]:
        return frozenset(self._verdict.columns)

    def _content(self, batch: FeedBatch) -> Content:
        spark, read = batch.rows.sparkSession, batch.read
        rows, version = self._upstream_at(spark, max(holds_all_read(read.until), batch.ahead or 0))
        if read.since is None and not read.until.starting:
            return Content(self._fitted(self._of_all(rows)), version)  # all groups are touched
        images, by = self._complete(batch.rows), self._verdict.by
        few = partial(self._few, by)
        answer, touched, groups = recomputed_groups(self._gold, self._verdict, images, rows, small=batch.small, few=few)
        answer = self._fitted(answer)
        if groups is not None:
            return Content(answer, version, groups)
        return Content(semi_join(self._current(spark), touched, by, by, "left_anti").unionByName(answer), version)

    def _of_all(self, rows: DataFrame) -> DataFrame:
        answer = self._gold(rows)
        touched = touched_groups(self._verdict, rows, answer) if self._verdict.believed else rows
        return checked(self._verdict, self._gold.keys, answer, touched)


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
    of = f"{', '.join(columns)} of all files of {upstream}, at one version"
    if answer.groups.plain:
        return f"{of}: the function gets the rows of the groups that the batch touches."
    return f"{of}: the function gets all rows, and of its answer the groups that the batch touches are kept."


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
    if gold.every is None and not verdict.plain:
        found.append(f"Say every=, such as '10 minutes', if it need not follow each batch of {upstream}.")
    return tuple(found)


def groups_in_words(answer: Answer | None) -> str | None:
    """Return what the groups of a table are; None where that is not known."""
    if answer is None or answer.groups is None:
        return None
    pairs = zip(answer.groups.by, answer.groups.groups, strict=True)
    return ", ".join(by if by == of else f"{by} = {of}" for by, of in pairs)


def _explained(gold: Gold, upstream: str, answer: Answer | None) -> Explanation:
    return Explanation(
        f"The groups that a row of the batch is in, or was in before it was changed, are recomputed from {upstream}; "
        "what the function gives of them takes the place of their rows.",
        rows_of_groups_read(upstream, answer),
        how_groups_are_replaced(answer),
        groups_in_words(answer),
        what_is_dear(gold, upstream, answer),
    )


KEYED = Kind("keyed", made_by(KeyedQuery), check_groups, keys_of, keys_of, explain=_explained)
"""The groups that a batch touches are computed anew."""
