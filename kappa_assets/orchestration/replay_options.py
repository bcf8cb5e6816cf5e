"""`resources.replay.config` of a run or a backfill: what Materialize does to the tables it is pressed on."""

from typing import Literal

import dagster as dg
from pydantic import Field

from kappa_assets.orchestration.jobs.replay_config import LimitsConfig


class ReplayOptions(dg.ConfigurableResource[None]):
    """How the chosen slices are done again. All of it may be left empty."""

    mode: Literal["auto", "repair", "replay"] = Field(
        default="auto",
        description="auto: with the logic that wrote the table, the chosen slices of a Silver are repaired in place; "
        "with other logic it is replayed from the first slice chosen to the head of the tape, beside the live tables, "
        "and everything downstream with it, and so is one whose rows are unique, with the same logic too. repair: only "
        "ever repair; refused when the logic differs, and of rows that are unique. "
        "replay: always replay.",
    )
    bronze_version: int | None = Field(
        default=None,
        description="Repair as the tape stood at this Bronze version: only rows up to it are replaced. Empty: all rows "
        "that the table has read.",
    )
    promote: Literal["auto", "hold", "never"] = Field(
        default="auto",
        description="For a replay: go live unless the comparison finds a fault, wait for the job promote, or only "
        "compare.",
    )
    limits: LimitsConfig = Field(
        default=LimitsConfig(), description="For a replay: what the comparison counts as a fault."
    )
    max_bytes_per_batch: str | None = Field(
        default=None, description="For a replay: how much one batch reads at most, such as 512m or 2g."
    )
    cores: int | None = Field(
        default=None, description="Threads of this run's Spark driver; what the resource spark says if empty."
    )
