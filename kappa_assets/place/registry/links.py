"""Symlinks from a table's public name to its live generation, for readers outside."""

from __future__ import annotations

import os
from pathlib import Path

from kappa_assets.errors import LakeError
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry.state import State


def mend_links(lake: Lake, state: State) -> None:
    """Make every public name point to the live generation; what already does is left alone.

    A link is replaced by a rename, so that a reader finds the old or the new one, never none. The link of a table that
    the release lacks goes: it would show a generation that nobody sees to. Raises LakeError when something that is no
    link stands in its place.
    """
    if state.release is None:
        return
    for table, number in state.release.tables.items():
        link = lake.link(table)
        if lake.folder(table, number) != link:
            _point(link, lake.folder(table, number))
    for table in {table for table, _ in state.generations} - set(state.release.tables):
        if _is_ours(lake, table):
            lake.link(table).unlink(missing_ok=True)


def _is_ours(lake: Lake, table: TableName) -> bool:
    """Return whether a public name is a link to one of the table's generations."""
    link, generations = lake.link(table), lake.folder(table).parent
    return link.is_symlink() and Path(os.path.normpath(link.parent / link.readlink())).parent == generations


def _point(link: Path, folder: Path) -> None:
    target = os.path.relpath(folder, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    if link.exists() and not link.is_symlink():
        raise LakeError(f"{str(link)!r} is no link of ours", hint="Move it away; the live name of a table goes there.")
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
