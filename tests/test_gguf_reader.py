"""The quick reader reads what the format's own reader reads."""

from __future__ import annotations

import random
from pathlib import Path

import gguf
import numpy as np
import pytest

from rlaif_fast_export.sources.gguf_reader import GgufReader
from tests.families import tiny_model
from tests.gguf_files import write_gguf


def same(path: Path) -> None:
    ours, theirs = GgufReader(path), gguf.GGUFReader(path)
    assert list(ours.fields) == list(theirs.fields)
    for name, field in theirs.fields.items():
        found = ours.fields[name]
        assert (found.contents(), found.types, found.offset) == (field.contents(), field.types, field.offset), name
        assert [ours.fields[name].parts[i].tobytes() for i in found.data] == [
            field.parts[i].tobytes() for i in field.data
        ]
    for one, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert (one.name, one.tensor_type, one.data_offset) == (other.name, other.tensor_type, other.data_offset)
        np.testing.assert_array_equal(one.data, other.data)


def test_every_field_and_tensor(tmp_path: Path) -> None:
    same(write_gguf(tmp_path / "m.gguf", tiny_model("llama"), general={"general.tags": ["a", "é", ""]}))


@pytest.mark.default_model
def test_the_embedded_default() -> None:
    from tests.test_gguf_tokenizer import default_model

    same(default_model())


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    content = write_gguf(tmp_path / "m.gguf", tiny_model("llama")).read_bytes()
    pick, cut = random.Random(3), tmp_path / "cut.gguf"
    for _ in range(200):
        cut.write_bytes(content[: pick.randrange(4, len(content) - 1)])
        with pytest.raises((ValueError, IndexError, KeyError, OSError, UnicodeDecodeError)):
            GgufReader(cut)
