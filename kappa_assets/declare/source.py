"""Where a Bronze table's rows come from. Values only; `kappa_assets.sources` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.errors import DeclarationError

FileFormat = Literal["csv", "json", "text", "parquet"]
_LINE_FORMATS = ("json", "text")


@dataclass(frozen=True)
class Files:
    """Files that land in a folder; each is read once, as it came.

    Args:
        folder: name of the folder below the landing folder.
        format: `csv` with `header=True` gives one string column per column of the header, matched by name;
            `csv` without a header, `json` (one document a line) and `text` keep each line raw in `value`;
            `parquet` keeps the file's own columns. `.gz` is read by its ending.
        header: whether each CSV file begins with the names of its columns.
        columns: CSV columns the tape has from its first commit on, even where early files lack them.
        archive: whether files that are on the tape are moved to `_read` below the folder. Each look for new files lists
            the folder whole, so without it, or somebody else who tidies up, batches slow down: 5,000 files cost 150 ms.

    Files in subfolders are read too. Files and folders whose names begin with a dot or an underscore are not seen:
    write under such a name, then rename.
    """

    folder: str
    format: FileFormat = "csv"
    header: bool = False
    columns: tuple[str, ...] = ()
    archive: bool = False
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if self.origin is None:
            object.__setattr__(self, "origin", origin_of_caller(depth=2))
        path = PurePosixPath(self.folder)
        if not self.folder or path.is_absolute() or ".." in path.parts:
            raise DeclarationError(
                f"Files folder must lie below the landing folder; got {self.folder!r}",
                origin=self.origin,
                hint="Name a relative folder, such as 'orders'; the landing folder itself is a setting.",
            )
        if self.format not in get_args(FileFormat):
            raise DeclarationError(
                f"unknown file format {self.format!r}",
                origin=self.origin,
                hint=f"One of {', '.join(get_args(FileFormat))}.",
            )
        if self.header and self.format != "csv":
            raise DeclarationError(
                f"header=True goes with format='csv'; got format={self.format!r}",
                origin=self.origin,
                hint="Leave header out.",
            )
        object.__setattr__(self, "columns", tuple(self.columns))
        if self.columns and not self.header:
            raise DeclarationError(
                "columns= goes with header=True: other files have no columns by name",
                origin=self.origin,
                hint="Leave columns out.",
            )

    @property
    def keeps_lines(self) -> bool:
        """Whether each line is kept raw in the column `value`."""
        return self.format in _LINE_FORMATS or (self.format == "csv" and not self.header)

    @property
    def label(self) -> str:
        """The name of this source in metadata and in transaction ids."""
        return f"files:{self.folder}"


Source = Files
