"""What people fill in when they go back: the configuration of the replay jobs, as the Launchpad shows it."""

from typing import Literal

import dagster as dg
from pydantic import Field

from kappa_assets.compare import Limits


class LimitsConfig(dg.Config):
    """How far the new tables may be from the live ones to go live by themselves; empty: any distance."""

    changed_share: float | None = Field(
        default=None, description="At most this share of the keys may have changed; 0.001 is one in a thousand."
    )
    lost_keys: int | None = Field(default=None, description="At most so many keys may be lost; 0 allows none.")
    rows_share: float | None = Field(
        default=None, description="The number of rows may differ by at most this share; 0.01 is one per cent."
    )

    def limits(self) -> Limits:
        """Return the limits as a value. Raises ReplayError for one below zero."""
        return Limits(self.changed_share, self.lost_keys, self.rows_share)


class ReplayConfig(dg.Config):
    """What to replay."""

    tables: list[str] = Field(
        description="Where to start, such as silver.sales. Everything downstream is rebuilt too; the plan says so."
    )
    from_version: int | None = Field(
        default=None,
        description="First Bronze version (Delta version) to play; empty or 0 is inception. With a later start a "
        "row-by-row Silver keeps its live rows from before it.",
    )
    from_time: str | None = Field(
        default=None,
        description="Instead of from_version: the day to play from, such as 2026-01-31 (UTC, of arrival). It begins "
        "with the first batch that holds rows of that day or a later one.",
    )
    to_version: int | None = Field(
        default=None,
        description="Last Bronze version to play. The replay is then a validation: tables are built as they would have "
        "been then, compared with the live ones as of then, and never promoted.",
    )
    to_time: str | None = Field(
        default=None,
        description="Instead of to_version: the last day, such as 2026-01-31 (UTC, of arrival). It ends before the "
        "first batch whose rows all arrived later.",
    )
    promote: Literal["auto", "hold", "never"] = Field(
        default="auto",
        description="auto: the candidates go live unless the comparison finds a fault. hold: they wait for the job "
        "promote, or discard. never: they are compared and left aside, until the job discard removes them.",
    )
    limits: LimitsConfig = Field(
        default=LimitsConfig(),
        description="What the comparison counts as a fault, beside a table that would lose all its rows or cannot be "
        "compared.",
    )
    max_bytes_per_batch: str | None = Field(
        default=None, description="How much one batch reads at most, such as 512m or 2g; 8g if empty. Less needs less."
    )
    cores: int | None = Field(
        default=None, description="Threads of this run's Spark driver; what the resource spark says if empty."
    )


class PromoteConfig(dg.Config):
    """Which held replay goes live."""

    replay_id: str | None = Field(default=None, description="The replay's id; the one that waits if empty.")
    force: bool = Field(
        default=False,
        description="Promote although the comparison found faults or is missing, or the candidates are behind. The "
        "release's reason says so.",
    )


class RollbackConfig(dg.Config):
    """Which release readers see again."""

    release: int | None = Field(default=None, description="The release's number; the previous one if empty.")
    reason: str = Field(default="", description="Why, for whoever reads the registry later.")


class DiscardConfig(dg.Config):
    """Which replay is given up."""

    replay_id: str = Field(description="The replay's id; its candidates are deleted.")
