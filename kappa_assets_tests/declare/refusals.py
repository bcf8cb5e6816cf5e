"""A declaration refused: with the file and line that are wrong, what is wrong, and a hint."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kappa_assets.errors import DeclarationError


def line() -> int:
    """Return the line that calls this."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def refused(make: Any, *texts: str, at: int | None = None) -> None:
    """See that `make` is refused with a place in the file of the test that calls this, `texts` and a hint."""
    file = inspect.stack()[1].filename
    with pytest.raises(DeclarationError) as error:
        make()
    said = str(error.value)
    place = file if at is None else f"{file}:{at}:"
    assert said.startswith(place)
    assert error.value.hint
    for text in texts:
        assert text in said
