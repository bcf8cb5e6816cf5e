"""What a comparison found, as a picture: slices that differ, live against candidate, and the columns that changed."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
"""Rows of a part of a comparison's facts."""
_MOST_SLICES = 30
"""Slices that have room beside each other: the newest of those that differ."""
_MOST_COLUMNS = 12
_COLOURS = {"live": "#8a8f98", "candidate": "#3f6ad8"}


def picture_of(row: Mapping[str, Any], slices: Rows, columns: Rows) -> dg.MarkdownMetadataValue | None:
    """Return a picture that the UI shows, of one table's part of a comparison; None where nothing differs."""
    figure = figure_of(row, slices, columns)
    if figure is None:
        return None
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    data = base64.b64encode(drawn.getvalue()).decode()
    return dg.MetadataValue.md(f"![{row['table']}: live against candidate](data:image/png;base64,{data})")


def figure_of(row: Mapping[str, Any], slices: Rows, columns: Rows) -> Figure | None:
    """Return the picture before it is drawn. `row`, `slices`, `columns`: as a comparison's facts have them, of a table.

    Left, what slices add up to, by the measure in which most of them differ; of a table whose slices do not, how many
    keys are on one side only or have changed. Right, the columns in which most keys changed.
    """
    of_slices = [one for one in slices if one["slice"] is not None]
    differing = [one for one in of_slices if one["measure"] == _measure(of_slices)][-_MOST_SLICES:]
    changed = sorted((one for one in columns if one["keys_changed"]), key=lambda one: -one["keys_changed"])
    apart = {what: row[what] for what in ("only_live", "only_candidate", "changed")}
    if not differing and not changed and not any(apart.values()):
        return None
    from matplotlib.figure import Figure  # not pyplot, which keeps every figure, and asks for a screen

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if differing:
        _by_slice(left, differing)
    else:
        left.bar([what.replace("_", " ") for what in apart], list(apart.values()), color=_COLOURS["candidate"])
        left.set_title(f"keys that differ ({row['matched_by']})")
    _changed_columns(right, changed[:_MOST_COLUMNS])
    figure.suptitle(f"{row['table']}: live against candidate")
    return figure


def _measure(of_slices: Rows) -> str | None:
    """Return the measure in which most slices differ; the first of several, which are rows before sums."""
    most = Counter(one["measure"] for one in of_slices).most_common(1)
    return most[0][0] if most else None


def _by_slice(axes: Axes, differing: Rows) -> None:
    width = 0.4
    for side, (what, colour) in enumerate(_COLOURS.items()):
        heights = [float(Decimal(one[what] or 0)) for one in differing]
        places = [number + (side - 0.5) * width for number in range(len(differing))]
        axes.bar(places, heights, width, label=what, color=colour)
    axes.set_xticks(range(len(differing)), [one["slice"] for one in differing], rotation=60, ha="right")
    axes.set_title(f"{differing[0]['measure']} of slices that differ")
    axes.legend()


def _changed_columns(axes: Axes, changed: Rows) -> None:
    names = [one["column"] for one in reversed(changed)]
    axes.barh(names, [one["keys_changed"] for one in reversed(changed)], color=_COLOURS["candidate"])
    axes.set_title("keys that changed, by column" if changed else "no column of a key on both sides changed")
