"""The note that each commit carries: written and read back without loss, and never mistaken for others' text."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kappa_assets.log.note import CommitNote, InputRange, Offset, Position, without_judging
from kappa_assets.place.change import Scan

_long = st.integers(-(2**63), 2**63 - 1)
_names = st.text(min_size=1, max_size=20)
_offsets = st.builds(Offset, _long, _long, st.booleans())
NOTES = st.builds(
    CommitNote,
    table=_names,
    generation=_long,
    batch=_long,
    code_version=st.text(),
    reads=st.dictionaries(_names, st.builds(InputRange, _long, st.none() | _offsets, _offsets, _long), max_size=3),
    position=st.dictionaries(_names, st.builds(Position, _long, _long), max_size=3),
    tape_batch=st.none() | _long,
    rows=st.none() | _long,
    rejected=st.dictionaries(_names, _long, max_size=3),
    source=st.dictionaries(_names, st.text() | _long, max_size=3),
    replay=st.none() | st.text(min_size=1),
    checkpoint=st.none() | _names,
    inputs=st.none() | _names,
    recomputed=st.none() | _long,
    touched=st.dictionaries(_names, _long, max_size=3),
    scanned=st.none() | st.builds(Scan, _long, st.none() | _long, _long),
    landed=st.none() | _long,
)


@given(NOTES)
def test_a_note_is_read_back_as_it_was_written(note: CommitNote) -> None:
    assert CommitNote.from_json(note.to_json()) == note


@given(NOTES)
def test_a_note_is_one_line_of_json(note: CommitNote) -> None:
    assert "\n" not in note.to_json()
    assert json.loads(note.to_json())["table"] == note.table


@given(st.none() | st.text() | st.recursive(st.none() | st.booleans() | _long, st.lists).map(json.dumps))
def test_what_others_wrote_is_no_note(text: str | None) -> None:
    assert CommitNote.from_json(text) is None


def test_a_note_of_a_later_format_is_not_guessed_at() -> None:
    later = json.dumps({**json.loads(CommitNote("silver.sales", 1, 0, "x").to_json()), "kappa": 2})
    assert CommitNote.from_json(later) is None


def test_a_note_of_before_reads_were_noted_knows_none() -> None:
    old = '{"kappa":1,"table":"gold.a","generation":1,"batch":4,"code_version":"x","rows":3,"touched":{"groups":2}}'
    found = CommitNote.from_json(old)
    assert found == CommitNote("gold.a", 1, 4, "x", rows=3, touched={"groups": 2})
    assert (found.scanned, found.landed) == (None, None)
    assert found.to_json() == old


def test_what_was_read_stands_under_its_names_and_what_is_not_known_is_left_out() -> None:
    note = CommitNote("gold.a", 1, 4, "x", scanned=Scan(3, 500, 9_000), landed=0)
    told = json.loads(note.to_json())
    assert (told["scanned"], told["landed"]) == ({"files": 3, "rows": 500, "bytes": 9_000}, 0)
    assert json.loads(CommitNote("gold.a", 1, 4, "x", scanned=Scan(3, None, 9)).to_json())["scanned"] == {
        "files": 3,
        "bytes": 9,
    }


def test_a_commit_that_judges_no_new_rows_does_not_repeat_what_the_one_before_it_read() -> None:
    note = without_judging(CommitNote("gold.a", 1, 4, "x", scanned=Scan(3, 500, 9_000), landed=7))
    assert (note.scanned, note.landed) == (None, None)


def test_positions_are_ordered_by_batch() -> None:
    assert Position(-1, -1) < Position(0, 5) < Position(1, 6)
