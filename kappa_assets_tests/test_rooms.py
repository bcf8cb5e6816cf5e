"""The house keeps its order: who may import whom, where a module lies, how long it is and what it is called."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import kappa_assets

HOUSE = Path(kappa_assets.__file__).parent
MODULES = sorted(HOUSE.rglob("*.py"))
IDS = [str(path.relative_to(HOUSE)) for path in MODULES]

# Low to high: a room imports from floors below its own, in functions too, and never from above. Rooms of one floor do
# not know each other, but for what stands in SIDEWAYS.
FLOORS = [
    {"errors", "faults"},
    {"columns", "names"},
    {"declare"},
    {"fingerprint"},
    {"graph"},
    {"kappa_assets"},  # the public names: what a pipeline imports
    {"debezium"},  # and what only those import that read its envelopes: it needs Spark
    {"place"},
    {"log"},
    {"logic", "sources"},
    {"kinds"},
    {"host"},
    {"compare", "maintenance", "repair"},
    {"replay"},
    {"status"},
    {"health"},
    {"feed"},
    {"cli", "orchestration"},
    {"demo", "pipelines"},
    {"definitions"},
]
SIDEWAYS: dict[tuple[str, str], str] = {}
"""Why a room may import another of its own floor: (who, whom) -> the reason."""
INSIDE = {"orchestration": ["shown", "lineage", "sensors", "jobs"], "place": ["local", "registry"]}
"""The folders of a room that holds several, low to high: they import downward too."""
LOOSE = {"__init__", "columns", "debezium", "definitions", "errors", "faults", "graph", "names", "status"}
"""Modules of the top level; all others are in a room."""
KNOWS_DAGSTER = "demo/feed_sensor.py"
"""The demo's feed is a Dagster sensor: the one module that knows Dagster outside of the room that is for it."""
LOG_NAME = re.compile(r"_delta_log|\.checkpoint\.parquet|_last_checkpoint|020d")
"""In a string: a name in a Delta log, or the format of its twenty digits."""
LOCKS_OF_OTHERS = {"demo/feed.py", "demo/make_run.py", "feed/journal.py", "host/session.py"}
"""They lock what is of no lake: the landing folder and the journal of a feed, the demo's Dagster, and the jars that are
fetched once."""
MOST_MODULES = 12
LONGEST = 300


def floor(room: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{room!r} has no floor in {__file__}: give it one, low to high"
    return found[0]


def room_of_file(path: Path) -> str:
    first = path.relative_to(HOUSE).parts[0]
    return "kappa_assets" if first == "__init__.py" else first.removesuffix(".py")


def room_of_module(name: str) -> str:
    """Return the room of `kappa_assets.host.host`: `host`. The package itself is its public names."""
    _, _, inside = name.partition(".")
    return inside.partition(".")[0] or "kappa_assets"


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(path: Path, *, everywhere: bool = False) -> Iterator[str]:
    """Yield the modules that importing `path` imports; also those its functions import, if `everywhere`."""
    todo: list[ast.AST] = [tree_of(path)]
    while todo:
        node = todo.pop()
        if is_for_type_checkers(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not everywhere:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (full_name(node.module or "", alias.name) for alias in node.names)
        todo.extend(ast.iter_child_nodes(node))


def full_name(module: str, name: str) -> str:
    """Return `module.name` if that is a module of the house, else `module`."""
    inside = HOUSE.parent / module.replace(".", "/")
    is_module = (inside / f"{name}.py").is_file() or (inside / name / "__init__.py").is_file()
    return f"{module}.{name}" if is_module else module


def rooms_imported(path: Path) -> set[str]:
    """Return the other rooms that a module imports from, in its functions too."""
    inside = {name for name in imports(path, everywhere=True) if name.partition(".")[0] == "kappa_assets"}
    return {room_of_module(name) for name in inside} - {room_of_file(path)}


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_imports_from_floors_below_its_own_alone(path: Path) -> None:
    mine = room_of_file(path)
    not_below = {room for room in rooms_imported(path) if floor(room) >= floor(mine)}
    assert {room for room in not_below if floor(room) > floor(mine) or (mine, room) not in SIDEWAYS} == set()


def test_what_is_allowed_sideways_is_of_one_floor_and_still_needed() -> None:
    imported = {(room_of_file(path), room) for path in MODULES for room in rooms_imported(path)}
    assert {pair for pair, reason in SIDEWAYS.items() if not reason or pair not in imported} == set()
    assert {(who, whom) for who, whom in SIDEWAYS if floor(who) != floor(whom)} == set()


def test_the_folders_of_a_room_import_downward_too() -> None:
    for room, folders in INSIDE.items():
        assert {path.parent.name for path in (HOUSE / room).glob("*/*.py")} == set(folders)
        for number, folder in enumerate(folders):
            names = {name for path in (HOUSE / room / folder).rglob("*.py") for name in imports(path, everywhere=True)}
            above = tuple(f"kappa_assets.{room}.{one}." for one in folders[number + 1 :])
            assert [name for name in names if name.startswith(above)] == []


def test_every_room_has_one_floor_and_every_floor_its_rooms() -> None:
    told = [room for rooms in FLOORS for room in rooms]
    assert sorted(told) == sorted({room_of_file(path) for path in MODULES})


def test_the_top_level_is_one_of_rooms() -> None:
    assert {path.stem for path in HOUSE.glob("*.py")} == LOOSE


def test_readme_lists_the_rooms_from_low_to_high() -> None:
    chapter = (HOUSE.parent / "README.md").read_text().partition("## Where things go\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)/` \|", chapter, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in HOUSE.iterdir() if (path / "__init__.py").is_file())
    assert [floor(room) for room in listed] == sorted(floor(room) for room in listed)


FOLDERS = sorted({path.parent for path in MODULES} - {HOUSE})


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(folder.relative_to(HOUSE)) for folder in FOLDERS])
def test_a_room_can_be_looked_over(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if not path.stem.startswith("__")]) <= MOST_MODULES


@pytest.mark.parametrize("path", sorted((HOUSE / "pipelines").rglob("*.py")), ids=lambda path: path.stem)
def test_a_pipeline_imports_only_what_users_may(path: Path) -> None:
    public = {"kappa_assets", "kappa_assets.debezium", "kappa_assets.errors"}
    inside = {name for name in imports(path, everywhere=True) if name.partition(".")[0] == "kappa_assets"}
    assert {name for name in inside - public if not name.startswith("kappa_assets.pipelines.")} == set()


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_only_orchestration_knows_dagster(path: Path) -> None:
    if room_of_file(path) not in {"orchestration", "definitions"} and path != HOUSE / KNOWS_DAGSTER:
        tops = {name.partition(".")[0] for name in imports(path, everywhere=True)}
        assert not [top for top in tops if top.startswith("dagster")]


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_only_the_place_takes_the_locks_of_a_lake(path: Path) -> None:
    """Others hold leases, ask a table for its turn, and may say who a holder is."""
    if room_of_file(path) == "place":
        return
    taken = {
        alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kappa_assets.place.local.leases.lock")
        for alias in node.names
    }
    assert taken <= {"Holder"}
    where = str(path.relative_to(HOUSE))
    assert where in LOCKS_OF_OTHERS or "fcntl" not in set(imports(path, everywhere=True))


def strings(path: Path) -> Iterator[str]:
    """Yield the strings of a module's code, also the parts of formatted ones; docstrings are left out."""
    todo: list[ast.AST] = [tree_of(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        todo.extend(() if said else ast.iter_child_nodes(node))


def names_log_files(path: Path) -> list[str]:
    """Return the strings with which a module builds, or looks for, the names of a Delta log's files."""
    return [text for text in strings(path) if LOG_NAME.search(text)]


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_only_the_local_place_names_the_files_of_a_log(path: Path) -> None:
    if (HOUSE / "place/local") not in path.parents:
        assert names_log_files(path) == []


def test_what_names_the_files_of_a_log_is_recognised() -> None:
    named = names_log_files(HOUSE / "place/local/log_files.py")
    assert {"_delta_log", ".checkpoint.parquet"} <= set(named)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_the_declaration_rooms_know_no_spark(path: Path) -> None:
    if floor(room_of_file(path)) <= floor("kappa_assets"):
        tops = {name.partition(".")[0] for name in imports(path, everywhere=True)}
        assert tops & {"pyspark", "delta", "deltalake"} == set()


def test_importing_kappa_assets_loads_neither_dagster_nor_pyspark() -> None:
    script = (
        "import sys; before = set(sys.modules); import kappa_assets\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(n for n in new - set(sys.stdlib_module_names) if not n.startswith('_')))"
    )
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "['kappa_assets']"


def test_the_public_names_load_on_a_folder_of_their_own_alone() -> None:
    """No module of the house is reached by `import kappa_assets` that is above the public names."""
    script = "import sys, kappa_assets; print(*[m for m in sys.modules if m.startswith('kappa_assets.')])"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = {room_of_module(name) for name in answer.stdout.split()}
    assert max(floor(room) for room in loaded) <= floor("kappa_assets")


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_is_short_and_named_after_what_it_holds(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}
