"""Single crashes, each on a lake of its own: walked by `make chaos`. The suite walks the same points in chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kappa_assets_tests.whole.conftest import TRUNCATED
from kappa_assets_tests.whole.scenes import Crash, Drain, Land, Replay, Step, Stream

A, B, C, D, E = (f"day {n}" for n in range(5))  # a stage's good files, in order


def land_(*files: str) -> Land:
    return Land(files)


# Every point with every mode, and every table as the next one; a batch takes one file.
# fmt: off
SCENES: Mapping[str, Sequence[Step]] = {
    "before the offsets of the first Bronze batch": [
        land_(A, B), Crash("before_offsets", "bronze.invoices", "driver"), Drain(),
    ],
    "before the offsets of the first Silver batch": [
        land_(A, B, C), Crash("before_offsets", "silver.sales", "jvm"), Drain(),
    ],
    "before the offsets of a later Gold batch": [
        land_(A, B, C), Crash("before_offsets", "gold.customer_value", "both", nth=2), Drain(),
    ],
    "between the rejects and the commit of a later Silver batch": [
        land_(A, B, C), Crash("after_rejects", "silver.sales", "driver", nth=2), Drain(),
    ],
    "between a truncated file set aside and the commit of Bronze": [
        land_(A, B, TRUNCATED), Crash("after_rejects", "bronze.invoices", "jvm", nth=3), Drain(),
    ],
    "before the commit of a Gold recomputed by key": [
        land_(A, B), Crash("after_rejects", "gold.customer_value", "both"), Drain(),
    ],
    "after the first commit of a combined Gold": [
        land_(A, B, C), Crash("after_commit", "gold.daily_revenue", "driver"), Drain(),
    ],
    "after a later commit of Silver": [
        land_(A, B, C), Crash("after_commit", "silver.sales", "jvm", nth=2), Drain(),
    ],
    "after a later commit of Bronze": [
        land_(TRUNCATED, A, B), Crash("after_commit", "bronze.invoices", "both", nth=2), Drain(),
    ],
    "between Bronze and Silver": [
        land_(A), Crash("between_tables", "bronze.invoices", "driver"), Drain(),
    ],
    "between Silver and the first Gold": [
        land_(A, B, C), Crash("between_tables", "silver.sales", "jvm"), Drain(),
    ],
    "between two Golds": [
        land_(A, B), Crash("between_tables", "gold.customer_value", "both"), Drain(),
    ],
    "before the registry is first written": [
        land_(A), Crash("registry_change", "registry", "driver"), Drain(),
    ],
    "when the JVM dies while the registry changes": [
        land_(A), Crash("registry_change", "registry", "jvm"), Drain(),
    ],
    "between the first release and its links": [
        land_(A), Crash("registry_change", "links", "both"), Drain(),
    ],
    "while all tables stream": [
        land_(A), Stream(1), land_(B), Crash("after_commit", "silver.sales", "driver"), Stream(9),
    ],
    "while a replay builds its candidates": [
        land_(A, B), Drain(), Crash("after_commit", "silver.sales", "driver"), Replay(),
    ],
    "between a promotion and its links": [
        land_(A, B), Drain(), Crash("registry_change", "links", "both"), Replay(),
    ],
}
# fmt: on


def named(steps: Sequence[Step], files: Sequence[str]) -> list[Step]:
    """Put the names of a stage's files in the places of A to E."""
    names = dict(zip((A, B, C, D, E), files, strict=True))
    return [Land(tuple(names.get(f, f) for f in s.files)) if isinstance(s, Land) else s for s in steps]
