"""What Dagster loads; start reading here. The pipeline and its folders come from the environment, and only here.

KAPPA_PIPELINE: module or file of the pipeline, never guessed: its tables are made in the lake; KAPPA_LAKE,
KAPPA_LANDING: its folders, below `.kappa` where Dagster is started by default; KAPPA_CORES, KAPPA_MEMORY: the size of a
Spark driver; KAPPA_SOURCE=kafka: tapes read topics of the names of their folders.
"""

import datetime as dt
import os
from dataclasses import replace
from pathlib import Path

from kappa_assets.demo.feed import month_begins
from kappa_assets.demo.feed_sensor import retail_feed
from kappa_assets.demo.topic_feed import topics_begin
from kappa_assets.errors import PipelineNotFound
from kappa_assets.graph import load_pipeline
from kappa_assets.orchestration.build import build_definitions

_RETAIL = "kappa_assets.pipelines.retail"

where = os.environ.get("KAPPA_PIPELINE")
if not where:
    raise PipelineNotFound(
        "KAPPA_PIPELINE is not set: it names the module, or .py file, that declares the tables",
        hint=f"Set it where Dagster is started. The example's is {_RETAIL}; make run sets that.",
    )
landing = Path(os.environ.get("KAPPA_LANDING") or ".kappa/landing").absolute()
source = os.environ.get("KAPPA_SOURCE")
pipeline = load_pipeline(where).read_from(source)
if where == _RETAIL:  # the demo's month ends on the day its feed first ran: no slice is shown that it has none of
    begins = topics_begin if source == "kafka" else month_begins
    pipeline = replace(pipeline, start=begins(landing, dt.datetime.now(dt.UTC).date()))
defs = build_definitions(
    pipeline,
    lake=os.environ.get("KAPPA_LAKE") or ".kappa/lake",
    landing=landing,
    cores=int(os.environ.get("KAPPA_CORES") or 0) or None,
    memory=os.environ.get("KAPPA_MEMORY") or None,
    extra_sensors=[retail_feed(landing, topics=source == "kafka")] if where == _RETAIL else [],
)
