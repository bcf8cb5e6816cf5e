"""What is decided in Python about names and bytes, held against the JVM that will read them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from kappa_assets.declare.charsets import CHARSETS, is_wide, javas_name
from kappa_assets.sources.column_names import repeated, same_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SEVERAL_BYTES = ("shift_jis", "euc_jp", "euc_kr", "cp949", "gb2312", "gbk", "gb18030")
OTHER_LETTER = {"shift_jis": 1, "euc_jp": 1, "gbk": 1, "gb18030": 19}
"""How many characters the two languages read as different ones, a dash for a dash. Bronze has Java's."""


def java(spark: SparkSession) -> Any:
    return spark._jvm.java.lang  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", [e for e in CHARSETS if not is_wide(e)])
def test_java_reads_whatever_python_takes_and_replaces_nothing(spark: SparkSession, encoding: str) -> None:
    if encoding == "utf-8":
        pieces = [chr(c).encode() for c in (*range(0x20, 0x3000), *range(0xFF00, 0xFFFF), 0x10000, 0x10FFFF)]
    else:
        pieces = [bytes([b]) for b in range(256)]
    if encoding in SEVERAL_BYTES:
        pieces += [bytes([a, b]) for a in range(0x80, 0x100) for b in range(256)]
    taken = []
    for piece in pieces:
        try:
            taken.append((piece, piece.decode(encoding)))
        except UnicodeDecodeError:
            continue
    taken = [(piece, text) for piece, text in taken if not set(text) & set("\r\n")]
    read = java(spark).String(bytearray(b"\n".join(piece for piece, _ in taken)), javas_name(encoding)).split("\n")
    assert len(read) == len(taken) > 100
    other = [piece for (piece, text), theirs in zip(taken, read, strict=True) if text != theirs]
    assert len(other) == OTHER_LETTER.get(encoding, 0)
    assert not [theirs for (_, text), theirs in zip(taken, read, strict=True) if "\ufffd" in theirs and text != theirs]


def test_names_are_the_same_exactly_where_java_ignores_their_case(spark: SparkSession) -> None:
    character = java(spark).Character
    cased = [
        code
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and {chr(code)} != {f(chr(code)) for f in (str.upper, str.lower, str.title)}
    ]
    assert len(cased) > 2_500
    for code in cased:
        if character.isDefined(code):  # a younger Unicode has more letters
            assert same_name(chr(code)) == chr(character.toLowerCase(character.toUpperCase(code))), hex(code)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("µ", "μ"),
        ("İd", "id"),
        ("\u0131d", "ID"),
        ("ß", "ẞ"),
        ("\u212a", "k"),
        ("\u017f", "S"),
        ("ΑΣ", "ας"),
        ("Gesamt", "GESAMT"),
    ],
)
def test_where_spark_replaces_a_column_by_another_we_see_one(spark: SparkSession, one: str, other: str) -> None:
    assert spark.createDataFrame([(1,)], [one]).withColumn(other, F.lit(2)).columns == [other]
    assert same_name(one) == same_name(other)
    assert repeated([one, "x", other])


def test_names_that_only_lower_case_makes_equal_are_the_same_too() -> None:
    assert same_name("i\u0307") == same_name("İ")


def test_names_that_spark_tells_apart_are_apart() -> None:
    names = ["a", "ä", "á", "ss", "ß", "fi", "ﬁ", "i", "j", "a_b", "ab", "straße", "strasse"]
    assert not repeated(names)
