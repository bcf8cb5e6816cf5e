"""Pipelines that ship with the package; `retail` is the example."""
