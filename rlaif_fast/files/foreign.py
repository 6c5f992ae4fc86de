"""Input that holds no rows which are read here, known by its first bytes or its name: what it is and what to give."""

from __future__ import annotations

import codecs

from rlaif_fast.errors import PairError
from rlaif_fast.files.hub_commit import data_set_meant

READ = "JSON Lines, JSON, CSV, TSV, Parquet and Arrow"
_SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
_SHEET = "a spreadsheet, which is not read; save it as CSV (UTF-8), with the columns' names in its first row"
_BY_BEGINNING = (
    (b"\xd0\xcf\x11\xe0", _SHEET),  # what Office wrote before .xlsx
    (b"PK\x03\x04", f"a ZIP archive, which is not read; unpack it ({READ} are read, also packed with gzip or zstd)"),
    (b"BZh", "packed with bzip2, which is not read; unpack it, or pack it with gzip or zstd"),
    (b"\xfd7zXZ", "packed with xz, which is not read; unpack it, or pack it with gzip or zstd"),
    (b"SQLite format 3\0", "a database, which is not read; export the table as CSV"),
    (b"%PDF-", f"a PDF, which is not read; {READ} are"),
)  # fmt: skip


def refuse_foreign(head: bytes, name: str) -> None:
    """Raise PairError where the beginning of a content is of a kind that is not read, with how to convert it."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not head.startswith(b"\xff\xff"):
        raise PairError(f"{name}: is UTF-16, save it as UTF-8")
    for beginning, what in _BY_BEGINNING:
        if head.startswith(beginning):
            sheet = beginning.startswith(b"PK") and (name.lower().endswith(_SHEETS) or b"[Content_Types].xml" in head)
            raise PairError(f"{name}: is {_SHEET if sheet else what}")


def cannot_be_read(path: str, reason: str) -> PairError:
    """What is raised where there is no such file, or it cannot be opened."""
    meant = data_set_meant(path)
    if meant is not None:
        return PairError(f"{path}: no such file; if a data set of the hub is meant, give {meant}")
    if "://" in path:
        return PairError(f"{path}: addresses are not read; download the file and give its path, or - for stdin")
    return PairError(f"{path}: cannot be read ({reason}), give a file of rows, or - for stdin")
