"""The health checks as Dagster asset checks: computed from registry and logs, wherever they run."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from kappa_assets.declare.tables import Table
from kappa_assets.graph import Pipeline
from kappa_assets.health import CHECKS, CheckOutcome, HealthChecks, checks_of
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.shown.render import table_of


def table_checks(folders: Folders, pipeline: Pipeline, table: Table) -> dg.AssetChecksDefinition:
    """Return the checks of one table. Running them starts no Spark."""

    @dg.multi_asset_check(
        name=f"{table.name.layer}_{table.name.name}_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=dg.AssetKey(table.name.key), description=CHECKS[name])
            for name in checks_of(table)
        ],
        can_subset=True,
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        for outcome in HealthChecks(folders.lake(), pipeline, landing=folders.landing).run():
            if outcome.table == table.name and outcome.check in wanted:
                yield dg.AssetCheckResult(**_said(outcome))

    return check


def evaluation(outcome: CheckOutcome) -> dg.AssetCheckEvaluation:
    """Return an outcome as an event that belongs to no run."""
    return dg.AssetCheckEvaluation(**_said(outcome))


def _said(outcome: CheckOutcome) -> dict[str, Any]:
    """Return an outcome in Dagster's words, which its result in a run and its event without one share."""
    return {
        "asset_key": dg.AssetKey(outcome.table.key),
        "check_name": outcome.check,
        "passed": outcome.passed,
        "severity": severity(outcome),
        "description": outcome.summary,
        "metadata": metadata(outcome),
    }


def verdict(outcome: CheckOutcome) -> str:
    """Return `passed`, `warn` or `error`."""
    return "passed" if outcome.passed else outcome.severity


def severity(outcome: CheckOutcome) -> dg.AssetCheckSeverity:
    """Return how Dagster shows a failed outcome: amber or red."""
    return dg.AssetCheckSeverity.WARN if outcome.severity == "warn" else dg.AssetCheckSeverity.ERROR


def metadata(outcome: CheckOutcome) -> dict[str, Any]:
    """Return an outcome's facts as plain entries, numbers to be plotted, and its rows as a table."""
    facts: dict[str, Any] = {name: value for name, value in outcome.facts.items() if value is not None}
    if outcome.rows:
        facts["details"] = table_of(outcome.rows)
    return facts
