"""The demo's stand-in for a shop, as a sensor: delivers the next file every few seconds. No part of a real pipeline."""

import datetime as dt
from pathlib import Path

import dagster as dg

from kappa_assets.demo.feed import next_delivery
from kappa_assets.demo.topic_feed import send_some
from kappa_assets.feed.events import STREAMS
from kappa_assets.orchestration.beta_warnings import beta_used_knowingly

_EVERY_S = 5


def retail_feed(landing: Path, *, topics: bool = False) -> dg.SensorDefinition:
    """Return the sensor that plays the shop of the retail example; running by default. `topics`: on Kafka."""
    with beta_used_knowingly():
        return _of_topics(landing) if topics else _sensor(landing)


def _of_topics(landing: Path) -> dg.SensorDefinition:
    @dg.sensor(
        name="retail_feed",
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "The demo's stand-in for a shop, no part of a real pipeline: sends invented invoice lines, and changes of "
            "the customers in them, to two topics every few seconds, for ever. Turn it off and nothing more comes; "
            "what has come is streamed all the same."
        ),
    )
    def deliver() -> dg.SkipReason:
        return dg.SkipReason(f"sent {send_some(landing, _EVERY_S)} events to the topics {' and '.join(STREAMS)}")

    return deliver


def _sensor(landing: Path) -> dg.SensorDefinition:
    @dg.sensor(
        name="retail_feed",
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "The demo's stand-in for a shop, no part of a real pipeline: drops the next day's invoices into the "
            "landing folder every few seconds, and after the packaged month small invented files, for ever; with each "
            "some changes of the customers in it. Turn it "
            "off and nothing more arrives; what has arrived is streamed all the same."
        ),
    )
    def deliver() -> dg.SkipReason:
        delivered = next_delivery(landing, now=dt.datetime.now(dt.UTC))
        if delivered is None:
            return dg.SkipReason("nothing delivered: another process is delivering now")
        return dg.SkipReason(f"delivered {delivered.name} into {delivered.parent}")

    return deliver
