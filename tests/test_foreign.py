"""Input that is not read: what it is, and what to give."""

from __future__ import annotations

import bz2
import lzma
import sys
from pathlib import Path

import pytest

from rlaif_fast.errors import PairError
from rlaif_fast.files.opening import open_rows
from tests.test_reading import PACKED, VALUES, lines, parquet, read


def refused(path: str | Path) -> str:
    with pytest.raises(PairError) as caught, open_rows(str(path)):
        pass
    return str(caught.value)


SHEET = "a spreadsheet, which is not read; save it as CSV (UTF-8), with the columns' names in its first row"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.xlsx", b"PK\x03\x04 whatever", SHEET),
        ("p.ods", b"PK\x03\x04mimetypeapplication/vnd.oasis", SHEET),
        ("p.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", SHEET),
        ("p", b"PK\x03\x04\x14\0[Content_Types].xml", SHEET),
        ("p.zip", b"PK\x03\x04 whatever", "a ZIP archive, which is not read; unpack it (JSON Lines, JSON, CSV, TSV,"
         " Parquet and Arrow are read, also packed with gzip or zstd)"),
        ("p.jsonl.bz2", bz2.compress(b"{}"), "packed with bzip2, which is not read; unpack it, or pack it with gzip or"
         " zstd"),
        ("p.jsonl.xz", lzma.compress(b"{}"), "packed with xz, which is not read; unpack it, or pack it with gzip or"
         " zstd"),
    ],
)  # fmt: skip
def test_what_holds_no_rows_says_how_it_is_converted(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert refused(tmp_path / name) == f"{tmp_path / name}: is {said}"
    with pytest.raises(PairError, match="which is not read"), open_rows(str(tmp_path / name), "csv"):
        pass


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://huggingface.co/datasets/owner/name", "hf://datasets/owner/name"),
        ("huggingface.co/datasets/owner/name/viewer/default/train?row=3", "hf://datasets/owner/name"),
        ("https://huggingface.co/datasets/owner/na.me/tree/main", "hf://datasets/owner/na.me"),
        ("https://huggingface.co/datasets/owner/name/blob/v2/data/a.jsonl", "hf://datasets/owner/name@v2"),
        ("https://hf.co/datasets/owner/name/", "hf://datasets/owner/name"),
        ("owner/name", "hf://datasets/owner/name"),
        ("datasets/owner/name", "hf://datasets/owner/name"),
    ],
)
def test_a_data_set_of_the_hub_is_recognised(given: str, meant: str) -> None:
    assert refused(given) == f"{given}: no such file; if a data set of the hub is meant, give {meant}"


def test_what_cannot_be_opened_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("owner/pairs.jsonl", "tests/none", "a/b/c", "/owner/name"):
        assert (
            refused(name) == f"{name}: cannot be read (No such file or directory), give a file of rows, or - for stdin"
        )
    for address in ("https://huggingface.co/owner/name", "s3://bucket/pairs.jsonl"):
        assert refused(address) == (
            f"{address}: addresses are not read; download the file and give its path, or - for stdin"
        )
    with pytest.raises(PairError, match="cannot be read \\(No such file or directory\\), give a file of rows"):
        read(tmp_path / "none")
    if Path("/proc/self/mem").exists():
        with pytest.raises(PairError, match=r"^/proc/self/mem: cannot be read \(Input/output error\)"):
            read(Path("/proc/self/mem"))
    (tmp_path / "t").write_bytes(parquet(VALUES))
    (tmp_path / "z").write_bytes(PACKED["zst"](lines(VALUES)))
    for module, name in (("pyarrow", "t"), ("zstandard", "z")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(PairError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == (
            f"{tmp_path}/{name}: this kind of file needs {module}, pip install 'rlaif-fast[formats]'"
        )
