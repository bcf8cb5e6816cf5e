"""Options of a Files source, refused when they are declared."""

from __future__ import annotations

from typing import Any

import pytest

from kappa_assets import Files, bronze
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint.code_version import code_version


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"header": True, "encoding": "klingon"},
            "encoding must be one that Python and Java read alike; got 'klingon'",
        ),
        ({"header": True, "encoding": "utf-7"}, "One of utf-8, ascii"),
        ({"header": True, "encoding": None}, "got None"),
        ({"format": "parquet", "encoding": "latin-1"}, "goes with text"),
        ({"header": True, "encoding": "utf-16"}, "only with header=True and multiline=True"),
        ({"format": "text", "encoding": "utf-16-le"}, "only with header=True and multiline=True"),
        ({"sep": ";"}, "sep= goes with header=True"),
        ({"format": "json", "multiline": True}, "multiline= goes with header=True"),
        ({"header": True, "sep": ""}, "sep must be one character"),
        ({"header": True, "sep": "||"}, "sep must be one character, and no line break; got '||'"),
        ({"header": True, "sep": "\n"}, "sep must be one character"),
        ({"header": True, "quote": ""}, "quote must be one character"),
        ({"header": True, "escape": None}, "escape must be one character"),
        ({"header": True, "sep": '"'}, "sep must differ from quote and escape"),
        ({"header": True, "sep": "\\", "escape": "\\"}, "sep must differ from quote and escape"),
        ({"header": True, "quote": None, "multiline": True}, "multiline=True goes with quotes"),
        ({"overwritten": "twice"}, "overwritten must be 'read' or 'name'; got 'twice'"),
        ({"pattern": ""}, "pattern must be one of names, without a folder; got ''"),
        ({"pattern": "north/*.csv"}, "pattern must be one of names"),
        ({"recursive": "yes"}, "recursive must be True or False; got 'yes'"),
        ({"folder_columns": 1}, "folder_columns must be True or False; got 1"),
        ({"folder_columns": True, "recursive": False}, "folder_columns=True goes with subfolders"),
        ({"arrived": "soon"}, "arrived must be one of 'name', 'file', 'unknown' or 'column:<name>'; got 'soon'"),
        ({"arrived": "column:"}, "arrived must be one of"),
        ({"arrived": None}, "arrived must be one of 'name', 'file', 'unknown' or 'column:<name>'; got None"),
        ({"format": "json", "arrived": "column:sent"}, "goes with files that have columns"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_a_hint(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        Files("orders", **options)
    assert reason in str(refused.value)
    assert "Hint: " in str(refused.value)
    assert "test_files_options.py" in str(refused.value)


def test_options_that_change_rows_count_in_the_version_and_defaults_do_not() -> None:
    def version(**options: Any) -> str:
        return code_version(bronze("orders", source=Files("orders", header=True, **options)))

    changed: list[dict[str, Any]] = [
        {"encoding": "latin-1"},
        {"sep": ";"},
        {"quote": None},
        {"escape": "\\"},
        {"multiline": True},
        {"null_value": ""},
        {"recursive": False},
        {"folder_columns": True},
        {"arrived": "unknown"},
    ]
    assert len({version(), *(version(**options) for options in changed)}) == 10
    assert version(encoding="utf-8", sep=",", null_value=None) == version()
    assert version() == "edfda7d245fc", "as it was before there were these options"
