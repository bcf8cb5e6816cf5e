"""Change data capture as it is declared, and what is refused with the line and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from kappa_assets import Files, Pipeline, bronze, cdc, expect, silver
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets_tests.declare.refusals import refused

TOLD: dict[str, Any] = {"keys": ["id"], "sequence_by": "lsn", "delete_when": "op = 'd'"}

FULL: dict[str, Any] = {"snapshots": True, "snapshot_rows": "n"}


def customers(changes: Any) -> Any:
    return changes


def test_changes_are_told_apart_and_ordered_by_columns_of_the_output() -> None:
    table = silver(cdc=cdc(**TOLD))(customers)
    assert table.cdc == cdc(keys=("id",), sequence_by=["lsn"], delete_when="op = 'd'", scd=1)
    assert table("a row") == "a row"  # type: ignore[comparison-overlap, arg-type]
    assert (table.keys, cdc(**TOLD).versions_of) == ((), ("id",))
    assert cdc(**TOLD, scd=2).versions_of == ("id", "_valid_from")
    assert [(e.name, e.condition, e.on_fail) for e in table.judged_by] == [
        ("has_id", "`id` IS NOT NULL", "quarantine"),
        ("has_lsn", "`lsn` IS NOT NULL", "quarantine"),
    ]


def test_what_changes_the_result_is_part_of_the_code_version() -> None:
    same = [TOLD | {"keys": ["a", "b"]}, TOLD | {"keys": ("b", "a"), "scd": 1, "track": []}]
    others: list[dict[str, Any]] = [
        TOLD,
        TOLD | {"scd": 2},
        TOLD | {"scd": 2, "track": ["a"]},
        TOLD | {"delete_when": None},
        TOLD | {"truncate_when": "op = 't'"},
        TOLD | {"unavailable": "?"},
        TOLD | {"forget_deletes": "90 days"},
        TOLD | {"forget_deletes": "91 days"},
        TOLD | {"snapshots": True, "snapshot_rows": "n"},
        TOLD | {"snapshots": True, "snapshot_rows": "m"},
        TOLD | {"snapshots": True, "complete_when": "op = 'end'"},
        TOLD | {"sequence_by": ["lsn", "pos"]},
        TOLD | {"sequence_by": ["pos", "lsn"]},
    ]
    versions = {code_version(silver(cdc=cdc(**told))(customers)) for told in same}
    assert len(versions) == 1
    full = TOLD | {"snapshots": True, "snapshot_rows": "n"}  # of which max_deleted changes no row
    assert len({code_version(silver(cdc=cdc(**full, max_deleted=m))(customers)) for m in (None, "9 %", "10 %")}) == 1
    versions |= {code_version(silver(cdc=cdc(**told))(customers)) for told in others}
    assert len(versions | {code_version(silver(customers))}) == 2 + len(others)


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        ({"keys": "id"}, "keys of cdc() must be a list of str; got str 'id'", "['customer_id']"),
        ({"keys": []}, "cdc() has no keys", "keys=['customer_id']"),
        ({"keys": ["a.b"]}, "keys of cdc() name column 'a.b'", "alias()"),
        ({"keys": ["id", "ID"]}, "keys of cdc() names a column twice: ['id', 'ID']", "upper from lower"),
        ({"sequence_by": []}, "cdc() has no sequence_by", "sequence_by='source_lsn'"),
        ({"sequence_by": 3}, "sequence_by of cdc() must be a list of str; got int 3", "source_lsn"),
        ({"sequence_by": ["lsn", "id"]}, "cdc() has 'id' in keys and in sequence_by", "Leave it out of sequence_by"),
        ({"track": ["ID"], "scd": 2}, "cdc() has 'ID' in keys and in track", "Leave it out of track"),
        ({"scd": 3}, "scd of cdc() must be 1 or 2; got int 3", "each version"),
        ({"track": ["a"]}, "scd=1 keeps none: ['a']", "scd=2"),
        ({"delete_when": " "}, "delete_when of cdc() must be SQL text; got str ' '", "op = 'd'"),
        ({"unavailable": ""}, "unavailable of cdc() must be a text; got str ''", "__debezium_unavailable_value"),
        ({"forget_deletes": "soon"}, "forget_deletes of cdc() is no time span above zero: 'soon'", "'90 days'"),
        ({"forget_deletes": "9 days", "scd": 2}, "each of them ends a version that scd=2 keeps", "scd=1"),
        (
            {"forget_deletes": "9 days", "sequence_by": ["a", "b"]},
            "one sequence that is a time; got ['a', 'b']",
            "alone",
        ),
        ({"snapshots": 2}, "snapshots of cdc() is True or left out; got int 2", "complete_when"),
        ({"snapshots": True}, "does not say when one is whole", "snapshot_rows="),
        ({"max_deleted": "9 %"}, "max_deleted of cdc() is about full snapshots", "snapshots=True"),
        (FULL | {"max_deleted": "9"}, "max_deleted of cdc() is a share of the keys; got str '9'", "'10 %'"),
        (FULL | {"max_deleted": "101 %"}, "is a share of the keys; got str '101 %'", "'10 %'"),
        (FULL | {"scd": 2}, "cdc() has snapshots and scd=2", "scd=1"),
        (FULL | {"truncate_when": "op = 't'"}, "snapshots and truncate_when of cdc() exclude", "Leave truncate_when"),
        (FULL | {"snapshot_rows": 3}, "snapshot_rows of cdc() is the name of a column; got int 3", "how many keys"),
        ({"truncate_when": 1}, "truncate_when of cdc() must be SQL text; got int 1", "op = 'd'"),
    ],
)
def test_options_that_say_nothing_are_refused(options: dict[str, Any], text: str, hint: str) -> None:
    refused(lambda: cdc(**TOLD | options), text, hint)


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        ({"cdc": TOLD}, "cdc of silver.customers must be what cdc() gives; got dict", "cdc=cdc(keys="),
        ({"keys": ["id"]}, "cdc= and keys= of silver.customers exclude each other", "Leave keys out"),
        ({"by": ["id"]}, "cdc= and by= of silver.customers exclude each other", "Leave by out"),
        ({"every": "1 minute"}, "cdc= and every= of silver.customers exclude each other", "Leave every out"),
        (
            {"expect": [expect("has_id", "id > 0")]},
            "expectation 'has_id' of silver.customers has the name",
            "otherwise",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any], text: str, hint: str) -> None:
    declared: dict[str, Any] = {"cdc": cdc(**TOLD)} | options
    refused(lambda: silver(**declared)(customers), text, hint, at=customers.__code__.co_firstlineno)


def test_changes_are_read_off_a_tape_alone() -> None:
    changes = bronze("changes", source=Files("changes", format="text"))
    above, below = silver(customers), silver(cdc=cdc(**TOLD), reads={"changes": "silver.customers"})(newest)
    with pytest.raises(DeclarationError, match=r"silver\.newest has cdc, and reads silver\.customers: .* a tape alone"):
        Pipeline.from_tables("shop", [changes, above, below])


def newest(changes: Any) -> Any:
    return changes
