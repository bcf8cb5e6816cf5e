"""The demo's stand-in for a shop: drops one file of invoices after the other into the landing folder.

First the packaged month, a day at a time, its dates moved so that the month ends on the day the feed first
ran; then, for ever, small invented files of the same kind. Nothing of the pipeline knows of it: files from
a real shop land beside.

A delivery is three steps: (1) its content is written under a hidden name that holds its number; (2) the
state file claims the number and the name; (3) the hidden file is renamed. After a crash before (2) is
done nobody has claimed the number, and the file is written anew; after one before (3) is done the claimed
hidden file is there, and the rename is made good. The rename happens once, so no day is sent twice, whatever
is deleted from the folder meanwhile. Between (2) and (3) the changes of customers that come with it are dropped
into a folder of their own.
"""

from __future__ import annotations

import csv
import datetime as dt
import fcntl
import gzip
import io
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kappa_assets.errors import SourceError
from kappa_assets.feed.customers import changes_file, changes_path
from kappa_assets.feed.packaged import DATA, DATE, invented_invoice, packaged, packaged_days

__all__ = ["DATA", "day_file", "month_begins", "next_delivery", "packaged_days", "small_file"]

FOLDER = "invoices"
STATE = ".feed.json"

_SMALL_FILE = re.compile(r"\d{4}-\d\d-\d\dT\d{6}-(\d{6,})\.csv")
_MEMORY = 366
_FIRST_INVOICE = 600_000  # the packaged month ends at 539 993


@dataclass(frozen=True)
class FeedState:
    """What was sent: `sent` deliveries, the latest named `name`; the packaged month ends on day `anchor`."""

    anchor: dt.date
    sent: int = 0
    name: str = ""


def next_delivery(landing: Path, *, now: dt.datetime, seed: int = 0) -> Path | None:
    """Drop the next file into `<landing>/invoices` and return its path; None while another process is at it.

    The changes of customers that come with it are in `<landing>/customer_changes`, under its name as `.json`.

    The first 20 are the packaged days, `2026-11-01.csv.gz`; after them `2026-11-23T101530-000021.csv`: UTC
    date and time of the delivery, and its number. The first call's `now` anchors the month for good. A
    packaged day whose name somebody else has taken is left out.

    Raises SourceError when the landing folder cannot be written, or its state file was tampered with.
    """
    folder = landing / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(landing) as alone:
            return _deliver(landing, folder, now.astimezone(dt.UTC), seed) if alone else None
    except OSError as error:
        raise SourceError(
            f"the demo feed cannot write to {str(landing)!r}: {error.strerror or error}",
            hint="Make that folder writable and free space on its disk, or name another landing folder.",
        ) from error


def month_begins(landing: Path, today: dt.date) -> dt.date:
    """Return the day of the first delivery: as the feed has anchored its month, or will anchor it today.

    Reads the landing folder and changes nothing; a state file that was tampered with is passed over.
    """
    try:
        progress = _read_state(landing) or _state_from_files(landing / FOLDER, today)
    except (OSError, SourceError):
        progress = FeedState(today)
    days = packaged_days()
    return progress.anchor - (days[-1] - days[0])


def day_file(day: dt.date, shift: dt.timedelta) -> bytes:
    """Return the packaged file of `day`, gzipped, every InvoiceDate moved by `shift` (whole days)."""
    header, *lines = packaged(day)
    date = header.index(DATE)
    for line in lines:
        moved = dt.date.fromisoformat(line[date][:10]) + shift
        line[date] = moved.isoformat() + line[date][10:]
    return gzip.compress(_csv([header, *lines]), mtime=0)


def small_file(number: int, now: dt.datetime, seed: int) -> bytes:
    """Return 10 to 60 invented lines of the last minutes before `now`, the same for the same arguments.

    Products with their prices, and customers with their countries, are drawn from one packaged day. As in
    the real data some invoices are cancellations, some lines are repeated exactly, and rarely one is a bad
    debt, which has a negative price.
    """
    dice = random.Random(f"{seed}/{number}")  # noqa: S311  # to repeat, not to hide
    header, *known = packaged(dice.choice(packaged_days()))
    lines: list[list[str]] = []
    wanted = dice.randint(10, 60)
    while len(lines) < wanted:
        invoice = str(_FIRST_INVOICE + 60 * number + len(lines))
        lines += invented_invoice(dice, header, known, invoice, now)[: wanted - len(lines)]
    return _csv([header, *lines])


def _deliver(landing: Path, folder: Path, now: dt.datetime, seed: int) -> Path:
    progress = _read_state(landing) or _state_from_files(folder, now.date())
    claimed = _hidden(folder, progress.sent - 1)
    if progress.name and claimed.exists():
        _tell_of_customers(landing, progress.name, claimed.read_bytes())
        return _show(claimed, folder / progress.name)
    number = progress.sent
    days = packaged_days()
    shift = progress.anchor - days[-1]
    while number < len(days) and (folder / _day_name(days[number] + shift)).exists():
        number += 1
    if number < len(days):
        name, content = _day_name(days[number] + shift), day_file(days[number], shift)
    else:
        name, content = f"{now:%Y-%m-%dT%H%M%S}-{number + 1:06d}.csv", small_file(number + 1, now, seed)
    hidden = _hidden(folder, number)
    _write(hidden, content)
    _write_state(landing, FeedState(progress.anchor, number + 1, name))
    _tell_of_customers(landing, name, content)
    return _show(hidden, folder / name)


def _tell_of_customers(landing: Path, name: str, invoices: bytes) -> None:
    """Drop the changes that come with a file of invoices, before it. A second time they are the same bytes."""
    path = changes_path(landing, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        hidden = path.with_name(f".{path.name}.part")
        _write(hidden, changes_file(name, invoices))
        _show(hidden, path)


def _hidden(folder: Path, number: int) -> Path:
    return folder / f".delivery-{number + 1:06d}.part"


def _day_name(day: dt.date) -> str:
    return f"{day.isoformat()}.csv.gz"


def _read_state(landing: Path) -> FeedState | None:
    path = landing / STATE
    try:
        state = json.loads(path.read_text())
        return FeedState(dt.date.fromisoformat(state["anchor"]), int(state["sent"]), str(state["name"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"the demo feed's state {str(path)!r} is not what the feed wrote: {error!r}",
            hint="Delete it: the feed then goes on from the files that are in the landing folder.",
        ) from error


def _write_state(landing: Path, progress: FeedState) -> None:
    temporary = landing / f"{STATE}.part"
    _write(temporary, json.dumps(asdict(progress), default=str).encode())
    _show(temporary, landing / STATE)


def _state_from_files(folder: Path, today: dt.date) -> FeedState:
    """Return the progress that the feed's files in `folder` tell of, when the state file is lost.

    The earliest day file is taken as the first of the month, unless the others, or today, contradict. Files
    older than a year are somebody else's.
    """
    names = {path.name for path in folder.iterdir()}
    numbers = [int(match[1]) for name in names if (match := _SMALL_FILE.fullmatch(name))]
    days = packaged_days()
    past = [today - dt.timedelta(back) for back in range(_MEMORY)]
    found = [day for day in past if _day_name(day) in names]
    for first in days if found else ():
        shift = min(found) - first
        if days[-1] + shift <= today and all(day - shift in days for day in found):
            sent = 1 + days.index(max(found) - shift)
            return FeedState(days[-1] + shift, max([sent, *numbers]))
    return FeedState(today, max([0, *numbers]))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _show(hidden: Path, path: Path) -> Path:
    """Rename `hidden` to `path`, for good: the folder is synced too."""
    hidden.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


@contextmanager
def _alone(landing: Path) -> Iterator[bool]:
    """Hold the feed's lock on `landing`, released by the kernel with the process; False if it is held."""
    with (landing / ".feed.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _csv(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
