"""What a kept lake says of itself, read back in seconds: a field that is not understood any more is noticed here."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from kappa_assets.log.note import CommitNote
from kappa_assets_tests.lakes.kept import ARCHIVES, PLACE, unpack
from kappa_assets_tests.lakes.shop import SHOP
from kappa_assets_tests.lakes.told import told

_KINDS = {
    "generation_created",
    "generation_expired",
    "logic_forwarded",
    "release_created",
    "release_selected",
    "replay_compared",
    "replay_discarded",
    "replay_held",
    "replay_promoted",
    "replay_started",
    "replay_validated",
    "vacuumed",
}


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name)
def known_and_found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, object], dict[str, object]]:
    """What the code that made an archive read in it, and what today's does."""
    archive: Path = request.param
    kept = unpack(archive, tmp_path_factory.mktemp("kept") / "shop")
    known = json.loads(archive.with_name(archive.name.replace(".tar.gz", ".json")).read_text())
    return known, told(kept.lake, SHOP)


def test_there_is_an_archive_and_it_has_every_event_there_was(
    known_and_found: tuple[dict[str, object], dict[str, object]],
) -> None:
    known, _ = known_and_found
    events = known["events"]
    assert isinstance(events, list)
    assert {event["kind"] for event in events} >= _KINDS


@pytest.mark.parametrize("part", ["events", "state", "tapes", "notes"])
def test_what_was_written_then_is_read_as_it_was_read_then(
    known_and_found: tuple[dict[str, object], dict[str, object]], part: str
) -> None:
    known, found = known_and_found
    assert found[part] == known[part]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name)
def test_an_archive_names_no_place_but_the_one_where_its_lake_lay(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in tar} == {(0, 0, "", "")}
        tar.extractall(tmp_path, filter="data")
    named = {
        found
        for path in tmp_path.rglob("*")
        if path.is_file()
        for found in re.findall(rb"/(?:home|root|work|tmp|Users|opt|usr|var|mnt|srv)/[\w.-]+", path.read_bytes())
    }
    assert named == {str(PLACE).encode()}


def test_a_note_of_the_first_version_is_understood_whole() -> None:
    """Written by hand, and no more than that version had to say: what came later is optional."""
    said = (
        '{"kappa":1,"table":"silver.sales","generation":2,"batch":7,"code_version":"c1",'
        '"reads":{"bronze.orders":{"generation":1,"since":[3,-1,false],"until":[5,-1,false],"version":4}},'
        '"position":{"bronze.orders":[6,4]},"rows":12,"rejected":{"has_amount":1}}'
    )
    note = CommitNote.from_json(said)
    assert note is not None
    assert json.loads(note.to_json()) == json.loads(said)
    assert (note.position["bronze.orders"].batch, note.position["bronze.orders"].version) == (6, 4)
    assert (note.reads["bronze.orders"].until.version, note.reads["bronze.orders"].version) == (5, 4)
