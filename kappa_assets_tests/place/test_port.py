"""Above the port nobody knows a path of a lake, nor reads rows of a table without saying of which version."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import Place
from kappa_assets_tests.test_rooms import HOUSE, IDS, MODULES, imports, room_of_file, tree_of

PATHS = {"pathlib", "os", "shutil", "glob", "tempfile"}
_SOURCE = "of a source: the landing folder, and what is kept beside the checkpoint of the query that reads it"
KNOW_PATHS = {
    "cli/command.py": "the arguments --lake, --landing and --pipeline",
    "cli/group.py": "the arguments --lake, --landing and --pipeline",
    "cli/play.py": "the journal of a feed",
    "cli/progress.py": "the width of the terminal",
    "cli/rewind.py": "the folder of a table that is none of the lake",
    "compare/outside.py": "the folder of a table that is none of the lake",
    "declare/source.py": "where the landed files of a source lie, below the landing folder",
    "definitions.py": "KAPPA_LAKE and KAPPA_LANDING",
    "demo/feed.py": "the landing folder that it plays the shop in",
    "demo/broker.py": "the folder of the demo's broker",
    "demo/feed_sensor.py": "the landing folder that it plays the shop in",
    "demo/make_run.py": "the folder of the demo",
    "demo/topic_feed.py": "the journal of what it sends",
    "feed/customers.py": "the landing folder that it plays the shop in",
    "feed/feed.py": "the journal of what it sends",
    "feed/folders.py": "the landing folder that it plays the shop in",
    "feed/journal.py": "the journal of what it sends",
    "feed/packaged.py": "the packaged month",
    "fingerprint/modules.py": "the modules of a pipeline, whose source it reads",
    "graph.py": "the file of a pipeline",
    "health/health_checks.py": "the landing folder",
    "host/host.py": "the number of this process",
    "host/session.py": "Java, the jars of Delta, and the number of cores",
    "kinds/query.py": "the landing folder",
    "orchestration/assets.py": "the name of the file that declares a table",
    "orchestration/build.py": "the arguments lake and landing",
    "orchestration/folders.py": "the arguments lake and landing",
}
"""The modules above the place that know paths, and of what. All of the room `sources` may."""
READ_UNPINNED = {
    "sources/files/file_batch.py": "landed files, which are of no table",
    "sources/files/set_aside.py": "the newest of the side table that it alone writes",
    "sources/kafka/kafka_source.py": "a topic, which is of no table",
    "sources/side_table.py": "the newest of the side table that it alone writes",
    "sources/ledger/told.py": "the newest of an append-only tape, and of the side table that it alone writes",
}
"""The modules above the place that open a table themselves, or load files, and why they may."""
ASK_FOR_PATHS = {
    "cli/command.py": "a folder of which nothing is read, for commands without a landing folder",
    "kinds/tape/tape_query.py": _SOURCE,
    "sources/files/files_source.py": _SOURCE,
    "sources/known_sources.py": _SOURCE,
    "sources/ledger/listed.py": _SOURCE,
    "sources/side_table.py": _SOURCE,
    "sources/files/set_aside.py": _SOURCE,
}
"""The modules above the place that ask a local lake for a path, and what for."""
LAKE_PATHS = re.compile(r"lake(\(\))?\.(folder|rejects|link|tape_index|checkpoint|ledger|system|registry|root|host)$")
"""What a local lake gives as a path."""


GO_PAST = {
    ("change_feed.row_changes", "kinds/keyed/kept_inputs.py"): "what the change feed calls a change",
    ("change_feed.row_changes", "kinds/joined/kept_join.py"): "what the change feed calls a change",
    ("change_feed.row_changes", "kinds/kept_rows.py"): "which values tell rows apart, and what is a delete",
    ("delta_write.small_files", "kinds/aggregate.py"): "how many bytes are little",
    ("delta_write.small_files", "kinds/append.py"): "how many bytes are little",
    ("delta_write.small_files", "kinds/cdc/cdc_query.py"): "how many bytes are little",
    ("delta_write.small_files", "sources/files/files_source.py"): "how many bytes are little",
    ("delta_write.small_files", "sources/files/landed_names.py"): "what the folder of a null is called",
    ("delta_write.table_schema", "replay/keep_rows.py"): "which columns fit each other",
    ("delta_write.delta_writer", "sources/side_table.py"): _SOURCE,
    ("delta_write.parquet_files", "sources/side_table.py"): _SOURCE,
    ("log_files", "sources/ledger/ledger.py"): _SOURCE,
    ("spark_paths", "sources/files/file_batch.py"): "landed files, which are of no table",
}
"""Which modules of the local place that know files are imported above the port, by whom, and why."""
KNOWS_FILES = ("delta_write", "log_files", "local_table", "upkeep", "spark_paths", "change_feed", "linked_files")


def above(path: Path) -> bool:
    return room_of_file(path) != "place"


def knows_paths(path: Path) -> bool:
    return bool({name.partition(".")[0] for name in imports(path, everywhere=True)} & PATHS)


def asked_for(tree: ast.Module) -> list[str]:
    """Return where a module asks a lake for a path."""
    attributes = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return [text for text in attributes if LAKE_PATHS.search(text)]


def unpinned(tree: ast.Module) -> Iterator[str]:
    """Yield the calls by which rows may be read of no version: Spark's `load` and `table`, delta-rs's DeltaTable."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="deltalake", names=names) if "DeltaTable" in {n.name for n in names}:
                yield "DeltaTable"
            case ast.Call(func=ast.Attribute(attr="load" | "readTable" | "toTable" as name, value=of)):
                if ast.unparse(of) != "json":
                    yield name
            case ast.Call(func=ast.Attribute(attr="table", value=ast.Attribute(attr="read" | "readStream"))):
                yield "table"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_above_the_place_knows_paths_of_its_own_only_and_says_which(path: Path) -> None:
    where = str(path.relative_to(HOUSE))
    if above(path) and room_of_file(path) != "sources":
        assert not knows_paths(path) or where in KNOW_PATHS


def gone_past() -> set[tuple[str, str]]:
    """Return the imports, above the place, of what knows the files of local tables."""
    found = set()
    for path in filter(above, MODULES):
        for name in imports(path, everywhere=True):
            _, local, inside = name.partition("kappa_assets.place.local.")
            if local and inside.startswith(KNOWS_FILES):
                found.add((inside, str(path.relative_to(HOUSE))))
    return found


def test_what_goes_past_the_port_is_told_with_its_reason_and_nothing_else_does() -> None:
    assert gone_past() == GO_PAST.keys()


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_above_the_place_asks_a_lake_for_tables_and_no_paths(path: Path) -> None:
    if above(path):
        assert asked_for(tree_of(path)) == [] or str(path.relative_to(HOUSE)) in ASK_FOR_PATHS


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_above_the_place_reads_rows_through_the_port_which_asks_for_a_version(path: Path) -> None:
    if above(path):
        assert list(unpinned(tree_of(path))) == [] or str(path.relative_to(HOUSE)) in READ_UNPINNED


def test_what_is_excepted_still_needs_to_be() -> None:
    assert {where for where in KNOW_PATHS if not knows_paths(HOUSE / where)} == set()
    assert {where for where in ASK_FOR_PATHS if not asked_for(tree_of(HOUSE / where))} == set()
    assert {where for where in READ_UNPINNED if not list(unpinned(tree_of(HOUSE / where)))} == set()


@pytest.mark.parametrize(
    "line",
    [
        "rows = spark.read.format('delta').load(str(folder))",
        "rows = spark.readStream.table('sales')",
        "from deltalake import DeltaTable",
        "rows = spark.read.table('sales')",
    ],
)
def test_each_way_of_reading_the_newest_is_seen(line: str) -> None:
    assert list(unpinned(ast.parse(line)))


def test_what_only_sounds_like_it_is_none() -> None:
    assert list(unpinned(ast.parse("import json\nlake.table(name).read(spark, 3)\njson.load(file)"))) == []


def test_a_local_lake_is_a_place(lake_path: Path) -> None:
    place: Place = Lake.at(lake_path)  # mypy compares the two, method by method
    assert place.tapes() == []
