"""Dagster keeps provenance under names of its own: an upgrade that renames one must not pass unseen."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions import data_version as names

from kappa_assets.orchestration.lineage import provenance
from kappa_assets.orchestration.lineage.provenance import Input, data_version, parse_data_version, provenance_tags

SILVER, BRONZE = dg.AssetKey(["silver", "sales"]), dg.AssetKey(["bronze", "invoices"])


def test_the_names_are_the_ones_this_dagster_uses() -> None:
    assert provenance.DATA_VERSION == names.DATA_VERSION_TAG
    assert provenance.CODE_VERSION == names.CODE_VERSION_TAG
    assert provenance.USER_PROVIDED == names.DATA_VERSION_IS_USER_PROVIDED_TAG
    assert provenance.INPUT_DATA_VERSION == names.INPUT_DATA_VERSION_TAG_PREFIX
    assert provenance.INPUT_POINTER == names.INPUT_EVENT_POINTER_TAG_PREFIX
    assert provenance.NO_POINTER == names.NULL_EVENT_POINTER


def test_dagster_reads_back_what_was_written(instance: dg.DagsterInstance) -> None:
    tags = provenance_tags("g2.v7", "abc", [Input(BRONZE, "g1.v43", 12), Input(dg.AssetKey("x"), "NULL", None)])
    instance.report_runless_asset_event(dg.AssetMaterialization(SILVER, tags=tags))
    record = instance.get_latest_data_version_record(SILVER, False)
    assert record is not None
    found = names.extract_data_provenance_from_entry(record.event_log_entry)
    assert names.extract_data_version_from_entry(record.event_log_entry) == dg.DataVersion("g2.v7")
    assert found is not None
    assert found.code_version == "abc"
    assert found.is_user_provided
    assert found.input_data_versions[BRONZE] == dg.DataVersion("g1.v43")
    assert found.input_storage_ids == {BRONZE: 12, dg.AssetKey("x"): None}


def test_a_data_version_reads_back_as_generation_and_version() -> None:
    assert parse_data_version(data_version(2, 43)) == (2, 43)
    assert parse_data_version("INITIAL") is None
    assert parse_data_version(None) is None


def test_a_runs_event_keeps_provenance_and_not_the_sensors_mark() -> None:
    tags = {
        **provenance_tags("g1.v1", "abc", [Input(BRONZE, "g1.v2", 3)]),
        provenance.REPORTED: "g1.v1",
        "dagster/x": "",
    }
    assert set(provenance.kept_provenance(tags)) == set(provenance_tags("g1.v1", "abc", [Input(BRONZE, "g1.v2", 3)]))
