"""Runs of Dagster in the process of the tests, on the one session they all share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kappa_assets.orchestration.resources import KappaSpark

if TYPE_CHECKING:
    import dagster as dg
    from pyspark.sql import SparkSession


class GivenSpark(KappaSpark):
    """The one session of the test run, in whose process other tests run too."""

    def go_behind(self) -> None:
        pass

    def session(self, name: str, *, live: bool = False, packages: tuple[str, ...] = ()) -> SparkSession:
        from pyspark.sql import SparkSession

        found = SparkSession.getActiveSession()
        assert found is not None
        return found


def messages(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return everything a run's log says, with what made its steps fail."""
    said = []
    for entry in instance.all_logs(run_id):
        data = entry.dagster_event.event_specific_data if entry.dagster_event else None
        failure = getattr(data, "user_failure_data", None)
        said += [entry.user_message or entry.message, (failure.description or "") if failure else ""]
    return "\n".join(said)
