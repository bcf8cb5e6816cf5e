"""kappa_assets: a Kappa architecture on Delta Lake, steered from Dagster. One log, one logic, replayed at will."""

from __future__ import annotations

from kappa_assets.columns import LINEAGE
from kappa_assets.declare.decorators import bronze, gold, silver
from kappa_assets.declare.kafka import Kafka
from kappa_assets.declare.options.cdc import cdc
from kappa_assets.declare.options.expectations import expect
from kappa_assets.declare.options.lateness import late
from kappa_assets.declare.source import Files
from kappa_assets.declare.tables import Bronze, Gold, Silver
from kappa_assets.errors import KappaError
from kappa_assets.graph import Pipeline, load_pipeline
from kappa_assets.names import Layer, TableName

__all__ = [
    "LINEAGE",
    "Bronze",
    "Files",
    "Gold",
    "Kafka",
    "KappaError",
    "Layer",
    "Pipeline",
    "Silver",
    "TableName",
    "bronze",
    "cdc",
    "expect",
    "gold",
    "late",
    "load_pipeline",
    "silver",
]
