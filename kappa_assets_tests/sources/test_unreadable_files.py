"""A file that cannot be read: which faults may pass, so that it is worth another try, and which are its own."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kappa_assets import Files
from kappa_assets.sources.files.inspect_files import find_unreadable, sort_files

MAY_PASS = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT,
            errno.ENOMEM, errno.EBUSY, errno.EAGAIN, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENODEV)  # fmt: skip
OF_THE_FILE = (errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EUCLEAN, errno.EBADMSG, errno.ENAMETOOLONG)
GONE = (errno.ENOENT, errno.ENOTDIR)
SOURCES = {
    "a.csv": Files("o", format="csv", header=True),
    "a.csv.gz": Files("o", format="csv", header=True),
    "a.json": Files("o", format="json"),
    "a.parquet": Files("o", format="parquet"),
}


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id\n1\n"))
    (tmp_path / "a.json").write_text('{"id": 1}\n')
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    return tmp_path


def fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every way to open a file fail with an error of the kernel: the tests run as root, who may read all."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(gzip, "open", refuse)
    monkeypatch.setattr(pq, "read_schema", refuse)
    monkeypatch.setattr(pq, "ParquetFile", refuse)


@pytest.mark.parametrize("number", [*MAY_PASS, *OF_THE_FILE, *GONE], ids=errno.errorcode.get)
def test_an_error_of_the_kernel_is_of_the_file_or_of_what_surrounds_it(
    landed: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail(monkeypatch, number)
    for name, source in SOURCES.items():
        path = str(landed / name)
        found = sort_files(source, [path], frozenset())
        again = find_unreadable(source, [path])
        assert [a.file for a in (*found.set_aside, *again)] == [path, path]
        for aside in (*found.set_aside, *again):
            assert aside.for_now == (number in MAY_PASS), (name, aside)
            said = "was gone before it was read" if number in GONE else os.strerror(number)
            assert said in aside.reason


def damage_packed(landed: Path) -> None:
    (landed / "a.csv.gz").write_bytes(gzip.compress(os.urandom(9_000))[:-2_000])


def damage_parquet(landed: Path) -> None:
    whole = (landed / "a.parquet").read_bytes()
    (landed / "a.parquet").write_bytes(whole[:4] + bytes(len(whole) - 12) + whole[-8:])


def no_parquet(landed: Path) -> None:
    (landed / "a.parquet").write_text("id\n1\n" * 10)


def no_gzip(landed: Path) -> None:
    (landed / "a.csv.gz").write_text("id\n1\n")


@pytest.mark.parametrize("damage", [damage_packed, damage_parquet, no_parquet, no_gzip])
def test_damaged_content_is_not_waited_for(landed: Path, damage: Callable[[Path], None]) -> None:
    damage(landed)
    found = []
    for name, source in SOURCES.items():
        path = str(landed / name)
        found += [*sort_files(source, [path], frozenset()).set_aside, *find_unreadable(source, [path])]
    assert found
    assert not [aside for aside in found if aside.for_now]
