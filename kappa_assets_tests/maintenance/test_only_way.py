"""Nothing removes files of a lake but the gate: every call that could is in it, or below with the reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kappa_assets

HOUSE = Path(kappa_assets.__file__).parent
GATE = "maintenance/gate.py"
REMOVERS = {"unlink", "rmtree", "rmdir", "removedirs", "erase", "erase_entries", "erase_generation"}
# The last three are the port's.
# Methods of a Delta table that remove files; as attributes the names are options of ours.
TABLE_REMOVERS = {"vacuum", "cleanup_metadata"}
ALLOWED = {
    ("place/local/upkeep/removal.py", "_remove_in_turn"): "what the gate says, by the port; so do the next three",
    ("place/local/upkeep/removal.py", "_remove_empty"): "as above",
    ("place/local/upkeep/removal.py", "remove_entries"): "as above",
    ("place/local/upkeep/removal.py", "remove_folders"): "as above",
    ("place/local/upkeep/removal.py", "remove_unfinished"): "files of this process that the newest version lacks",
    (
        "place/local/delta_write/rows.py",
        "create_with_rows",
    ): "a file of this process whose commit was refused: nobody knows of it",
    ("place/local/delta_write/rows.py", "_exchange"): "as above",
    (
        "place/local/delta_write/version_checksum.py",
        "write",
    ): "a checksum that 40 newer ones replace, which the protocol lets lack",
    ("place/registry/links.py", "mend_links"): "a symlink of ours to a generation, never what it points to",
    ("place/registry/links.py", "_point"): "a symlink of this process that was never put in its place",
    (
        "sources/files/archive.py",
        "move_done",
    ): "the note of which landed files are moved; it is about to be written anew",
    (
        "place/local/checkpoint_files.py",
        "clean_leftovers",
    ): "half a file that no offset or commit of Spark's is, before a start",
    (
        "place/local/local_table.py",
        "_set_aside",
    ): "rows set aside, in files of this batch's own that are committed elsewhere",
    ("place/local/delta_write/commit_file.py", "put_commit"): "the first name of a commit; linked, it has another",
    (
        "place/local/checkpoint_files.py",
        "retire",
    ): "a checkpoint put aside before this one: the tape knows all of it",
    ("feed/folders.py", "prepare"): "a hidden file of the feed that no journal knows of, in the landing folder",
    ("sources/ledger/delivery_plans.py", "begin"): "plans that are done, or that Spark never saw: they are made anew",
    ("sources/ledger/delivery_plans.py", "remove_before"): "plans that Spark has logged as done",
    ("sources/ledger/ledger.py", "_throw_away"): "what is no database any more; it is made again from the tape",
}


def removals(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (function, what) of each place that removes a file, or gets hold of something that does."""
    todo: list[tuple[str, ast.AST]] = [("", tree)]
    while todo:
        inside, node = todo.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                inside = name
            case ast.Attribute(attr=name) if name in REMOVERS:
                yield inside, ast.unparse(node)
            case ast.Attribute(value=ast.Name(id="os"), attr="remove"):
                yield inside, ast.unparse(node)
            case ast.ImportFrom(module="os" | "shutil", names=names):
                yield from ((inside, a.name) for a in names if a.name in {*REMOVERS, "remove"})
            case ast.Call(func=ast.Attribute(attr=name)) if name in TABLE_REMOVERS:
                yield inside, ast.unparse(node.func)
        todo.extend((inside, child) for child in ast.iter_child_nodes(node))


def found() -> set[tuple[str, str]]:
    paths = sorted(HOUSE.rglob("*.py"))
    return {(str(p.relative_to(HOUSE)), where) for p in paths for where, _ in removals(ast.parse(p.read_text()))}


def test_files_of_a_lake_are_removed_by_the_gate_alone() -> None:
    others = {place for place in found() if place[0] != GATE}
    assert others - ALLOWED.keys() == set(), f"go through {GATE}, or say here why it need not"


def test_every_exception_is_still_needed() -> None:
    assert ALLOWED.keys() <= found()
    assert {file for file, _ in found()} >= {GATE}


@pytest.mark.parametrize(
    "line",
    [
        "path.unlink(missing_ok=True)",
        "os.unlink(path)",
        "os.remove(path)",
        "shutil.rmtree(folder, ignore_errors=True)",
        "map(shutil.rmtree, folders)",
        "table.upkeep().erase(paths)",
        "lake.erase_generation(table, 1)",
        "folder.rmdir()",
        "from shutil import rmtree",
        "from os import remove as gone",
        "DeltaTable(folder).vacuum(retention_hours=0)",
        "table.cleanup_metadata()",
    ],
)
def test_each_way_of_removing_is_seen(line: str) -> None:
    assert [where for where, _ in removals(ast.parse(f"def tidy():\n    {line}"))] == ["tidy"]


def test_what_only_sounds_like_it_is_not() -> None:
    assert list(removals(ast.parse("if policy.vacuum:\n    names.remove(name)"))) == []
