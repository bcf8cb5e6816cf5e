"""Where in the code something was declared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """A file and a line, printed the way editors understand."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def origin_of_function(function: Callable[..., Any]) -> Origin:
    """Return where `function` is defined."""
    code = function.__code__
    return Origin(code.co_filename, code.co_firstlineno)


def origin_of_caller(depth: int = 1) -> Origin:
    """Return the line that called the function which calls this one."""
    frame = sys._getframe(depth + 1)  # noqa: SLF001 - inspect.stack() reads every source file on the way
    return Origin(frame.f_code.co_filename, frame.f_lineno)
