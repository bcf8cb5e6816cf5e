"""The registry on disk: compare-and-set, also between processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets.errors import LakeError, RegistryConflict
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Event, Registry, State, events
from kappa_assets_tests.disks import full, small_disk, unwritable

SALES = TableName.parse("silver.sales")


def generation(number: int) -> list[Event]:
    return [events.generation_created(SALES, number, f"code {number}")]


@pytest.fixture
def lake(lake_path: Path) -> Lake:
    return Lake.at(lake_path)


def test_a_lake_without_a_registry_has_an_empty_state(lake: Lake) -> None:
    assert Registry(lake).state() == State()
    assert Registry(lake).history() == []


def test_what_one_wrote_another_reads_in_order(lake: Lake) -> None:
    one, other = Registry(lake), Registry(lake)
    for number in range(1, 6):
        one.commit(one.state(), [*generation(number), events.release_created(number, {SALES: number}, "")])
    assert other.state() == one.state()
    assert [e.kind for e in other.history()] == ["generation_created", "release_created"] * 5
    live = other.state().live(SALES)
    assert live is not None
    assert live.number == 5


def test_a_change_decided_on_an_old_state_is_refused_and_writes_nothing(lake: Lake) -> None:
    one, other = Registry(lake), Registry(lake)
    one.commit(one.state(), generation(1))
    seen = other.state()
    one.commit(one.state(), generation(2))
    with pytest.raises(RegistryConflict):
        other.commit(seen, generation(3))
    assert [n for _, n in Registry(lake).state().generations] == [1, 2]
    assert other.commit(other.state(), generation(3)).version == 2, "decided anew, it goes through"


def test_of_two_first_writers_one_is_refused(lake: Lake) -> None:
    one, other = Registry(lake), Registry(lake)
    empty = other.state()
    one.commit(one.state(), generation(1))
    with pytest.raises(RegistryConflict):
        other.commit(empty, generation(1))
    assert len(Registry(lake).history()) == 1


def test_an_old_state_of_the_same_registry_object_is_refused_too(lake: Lake) -> None:
    registry = Registry(lake)
    old = registry.commit(registry.state(), generation(1))
    registry.commit(old, generation(2))
    with pytest.raises(RegistryConflict):
        registry.commit(old, generation(3))
    assert len(registry.history()) == 2


def remove_data(lake: Lake) -> None:
    for file in lake.registry.glob("*.parquet"):
        file.unlink()


def damage_data(lake: Lake) -> None:
    for file in lake.registry.glob("*.parquet"):
        file.write_bytes(b"no Parquet at all")


def damage_log(lake: Lake) -> None:
    (lake.registry / "_delta_log" / f"{0:020d}.json").write_text('{"add": 7}')


@pytest.mark.parametrize("damage", [remove_data, damage_data, damage_log])
def test_a_registry_that_cannot_be_read_says_so(lake: Lake, damage: Callable[[Lake], None]) -> None:
    registry = Registry(lake)
    registry.commit(registry.state(), generation(1))
    damage(lake)
    with pytest.raises(LakeError) as failure:
        Registry(lake).state()
    assert failure.value.what.startswith(f"the registry {str(lake.registry)!r} cannot be read: ")
    assert failure.value.hint == "Restore it from a backup: it alone says which generations are live."


def test_a_folded_registry_says_the_same_and_goes_on(lake: Lake) -> None:
    registry = Registry(lake)
    registry.add(*generation(1), events.release_created(1, {SALES: 1}, "first"))
    for version in range(30):
        registry.add(events.vacuumed(SALES, 1, version))
    before = registry.state()
    folded = registry.fold(before)
    assert folded == replace(before, version=before.version + 1)
    assert [e.kind for e in registry.history()] == ["generation_created", "release_created", "vacuumed"]
    assert len(DeltaTable(lake.registry).file_uris()) == 1
    other = Registry(lake)
    other.add(events.release_selected(1, "none"), *generation(2))
    assert [e.kind for e in registry.history()][2:] == ["vacuumed", "release_selected", "generation_created"]
    assert registry.state().next_generation(SALES) == 3


def test_a_registry_that_was_changed_meanwhile_is_not_folded(lake: Lake) -> None:
    one, other = Registry(lake), Registry(lake)
    one.add(events.vacuumed(SALES, 1, 1), events.vacuumed(SALES, 1, 2))
    seen = one.state()
    other.add(*generation(1))
    with pytest.raises(RegistryConflict):
        one.fold(seen)
    assert [e.kind for e in Registry(lake).history()] == ["vacuumed", "vacuumed", "generation_created"]


@pytest.mark.parametrize("known", [0, 1])
def test_a_full_disk_is_no_conflict_and_leaves_the_registry_as_it_was(tmp_path: Path, known: int) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        registry = Registry(Lake.at(disk / "lake"))
        for number in range(known):
            registry.commit(registry.state(), generation(number))
        with full(disk), pytest.raises(LakeError, match=r"the registry cannot be written in .*: .*No space left"):
            registry.commit(registry.state(), generation(7))
        assert len(Registry(registry.lake).history()) == known
        registry.commit(registry.state(), generation(7))
        assert len(Registry(registry.lake).history()) == known + 1


@pytest.mark.parametrize("known", [0, 1])
def test_a_registry_that_may_not_be_written_is_no_conflict(lake: Lake, known: int) -> None:
    registry = Registry(lake)
    for number in range(known):
        registry.commit(registry.state(), generation(number))
    folder = lake.registry / "_delta_log" if known else lake.registry.parent
    refused = r"the registry cannot be written in .*: .*(Permission denied|Read-only file system)"
    with unwritable(folder), pytest.raises(LakeError, match=refused) as failure:
        registry.commit(registry.state(), generation(7))
    assert "\n" not in failure.value.what
    assert "\x1b" not in failure.value.what
    assert len(Registry(lake).history()) == known


# It ends without taking the interpreter apart: a thread of delta-rs that still runs then would abort the process.
RACER = """
import json, os, sys
from pathlib import Path
from kappa_assets.errors import RegistryConflict
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry, events
from kappa_assets.names import TableName

registry, won, lost = Registry(Lake.at(Path(sys.argv[1]))), [], 0
table = TableName.parse(f"silver.t{sys.argv[2]}")
sys.stdin.readline()
while len(won) < 6:
    state = registry.state()
    try:
        registry.commit(state, [events.generation_created(table, state.next_generation(table), "")])
        won.append(state.version + 1)
    except RegistryConflict:
        lost += 1
print(json.dumps({"won": won, "lost": lost}), flush=True)
os._exit(0)
"""


def test_processes_that_race_each_win_a_version_of_their_own_and_lose_nothing(lake: Lake) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(lake.root), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [json.loads(racer.communicate(timeout=120)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sorted(v for r in results for v in r["won"]) == list(range(18)), "a version was won twice, or lost"
    history = Registry(lake).history()
    for n in range(3):
        numbers = [e.body["generation"] for e in history if e.body["table"] == f"silver.t{n}"]
        assert numbers == [1, 2, 3, 4, 5, 6]
