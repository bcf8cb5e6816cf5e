"""Encodings of landed text that Python and Java both know, and read alike.

Python checks every landed byte, Spark makes the text of it: what one takes for good, the other must not replace.
Each entry is held against the JVM, byte for byte, in a test. Left out are cp932 and big5: Java replaces by question
marks what Python decodes (1,290 and 2 of all pairs of bytes).
"""

from __future__ import annotations

import codecs

_ISO = (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 15)
_WINDOWS = range(1250, 1259)
_IBM = (437, 850, 852, 855, 857, 858, 862, 866)
_BY_PYTHONS_NAME = {
    "utf-8": "UTF-8",
    "ascii": "US-ASCII",
    **{f"iso8859-{n}": f"ISO-8859-{n}" for n in _ISO},
    **{f"cp{n}": f"windows-{n}" for n in _WINDOWS},
    **{f"cp{n}": f"IBM{n:05}" if n == 858 else f"IBM{n}" for n in _IBM},  # noqa: PLR2004 -- Java's own spelling
    "koi8-r": "KOI8-R",
    "koi8-u": "KOI8-U",
    "shift_jis": "Shift_JIS",
    "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR",
    "cp949": "x-windows-949",
    "gb2312": "GB2312",
    "gbk": "GBK",
    "gb18030": "GB18030",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
}
CHARSETS = tuple(_BY_PYTHONS_NAME)
"""The encodings by Python's names."""


def pythons_name(encoding: str) -> str | None:
    """Return Python's one name of an encoding, such as `iso8859-1` for `latin-1`; None for one not supported."""
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        return None
    return name if name in _BY_PYTHONS_NAME else None


def javas_name(encoding: str) -> str:
    """Return Java's name of an encoding that `pythons_name` knows."""
    return _BY_PYTHONS_NAME[codecs.lookup(encoding).name]


def is_wide(encoding: str) -> bool:
    """Return whether a line break is more than one byte, so that nobody can find lines without decoding."""
    return codecs.lookup(encoding).name.startswith("utf-16")
