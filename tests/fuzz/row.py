"""The readers of rows, to be fuzzed (see ``__main__``)."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

from rlaif_fast.errors import PairError
from rlaif_fast.files.compression import unpacked
from rlaif_fast.files.opening import _rows
from rlaif_fast.files.source import Source
from rlaif_fast.judging.rating import Rating
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.reader import Rejects, RowReader

KINDS = ("jsonl", "json", "csv", "tsv")
_FOLDER = tempfile.TemporaryDirectory()


def check(data: bytes) -> None:
    """The first byte of ``data`` chooses the kind; every row becomes a line, or is set aside in one."""
    kind, content = KINDS[data[0] % len(KINDS)] if data else "jsonl", data[1:]
    path = Path(_FOLDER.name) / "rejects.jsonl"

    def source() -> Source:
        try:
            stream = unpacked(io.BytesIO(content), "here")[1]
        except PairError:  # packed with what is not installed
            stream = io.BytesIO()
        return Source("here", kind, False, lambda: _rows("here", kind, stream))

    rejects = Rejects(path, str)
    for pair in RowReader(source()).pairs(rejected=rejects):
        row = json.loads(Verdict(pair, (0.5, -0.25)).to_json())
        assert (row["instruction"], row["chosen"]) == (pair.instruction, pair.response_0)
    for sample in RowReader(source()).samples(rejected=rejects):
        assert json.loads(Rating(sample, (0.1,) * 10, 1.0).to_json())["response"] == sample.response
    if rejects.count:
        lines = path.read_bytes().splitlines()
        assert len(lines) == rejects.count and all(json.loads(line)["error"] for line in lines)
