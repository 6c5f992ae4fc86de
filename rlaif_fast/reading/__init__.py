"""Rows of any file people have: JSON Lines, a JSON array, CSV, Parquet, a datasets folder; packed or not.

::

    opening      opens a path, sees its kind, chooses the reader
    unpacking    gzip, zstd, a byte order mark
    lines        lines, and JSON Lines
    json_array   a JSON array, an element at a time
    strict_json  the decoder of both
    records      CSV and TSV
    tables       Parquet and Arrow
    folder       files of a data set's folder
    rows         what every reader gives
    extra        packages that only some kinds of file need
"""

from rlaif_fast.reading.extra import optional
from rlaif_fast.reading.opening import open_rows
from rlaif_fast.reading.rows import Row, Source

__all__ = ["Row", "Source", "open_rows", "optional"]
