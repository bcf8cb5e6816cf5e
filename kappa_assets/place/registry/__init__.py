"""The registry: which generations there are, and which one readers see."""

from __future__ import annotations

from kappa_assets.place.registry import events
from kappa_assets.place.registry.links import mend_links
from kappa_assets.place.registry.state import AcceptedLoss, Event, Generation, Release, Replay, State
from kappa_assets.place.registry.store import Registry

__all__ = ["AcceptedLoss", "Event", "Generation", "Registry", "Release", "Replay", "State", "events", "mend_links"]
