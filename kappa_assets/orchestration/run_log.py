"""What kappa_assets logs while an op works, in that run's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from kappa_assets.errors import KappaError


class _RunLog(logging.Handler):
    def __init__(self, log: dg.DagsterLogManager) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.log(record.levelno, self.format(record))
        except Exception:  # noqa: BLE001 -- Dagster's storage may be away for a moment; the stream is not
            self.handleError(record)


@contextmanager
def in_run_log(log: dg.DagsterLogManager) -> Iterator[None]:
    """Forward the messages of kappa_assets to `log` for the block."""
    logger = logging.getLogger("kappa_assets")
    handler, level = _RunLog(log), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def as_run(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[Callable[[str], None]]:
    """Forward kappa_assets' messages to the run's log, and turn its errors into failures people can read.

    Gives the function that says something in the run's log.
    """
    try:
        with in_run_log(context.log):
            yield context.log.info
    except KappaError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"what": error.what, **({"hint": error.hint} if error.hint else {})},
            allow_retries=False,
        ) from error
