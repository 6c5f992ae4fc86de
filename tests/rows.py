"""Rows for tests, and what a judge is shown of one."""

from __future__ import annotations

from typing import Any

from rlaif_fast.rows import candidates
from rlaif_fast.rows.samples import SAMPLES
from rlaif_fast.schemas.known import recognise
from rlaif_fast.schemas.schema import Row, RowSchema


def user(text: str, **more: Any) -> Row:
    return {"role": "user", "content": text, **more}


def reply(text: str, **more: Any) -> Row:
    return {"role": "assistant", "content": text, **more}


OURS = {"instruction": "i", "response_0": "a", "response_1": "b"}


SHAPES: dict[str, tuple[Row, Row]] = {
    "own": (OURS | {"id": 3, "note": 1}, OURS | {"id": 3, "note": 1}),
    "trl": ({"prompt": "i", "chosen": "a", "rejected": "b", "note": 1}, OURS | {"label": 0, "note": 1}),
    "notebook": ({"instruction": "i", "chosen": "a", "rejected": "b"}, OURS | {"label": 0}),
    "ultrafeedback": ({"instruction": "i", "completions": [{"response": "a", "x": 1}, {"response": "b"}]}, OURS),
    "distilabel": ({"prompt": "i", "generations": ["a", "b"]}, OURS),
    "alpacaeval": ({"instruction": "i", "output_1": "a", "output_2": "b", "preference": 2.0},
                   OURS | {"label": 1, "preference": 2.0}),
}  # fmt: skip


def recognised(row: Row) -> RowSchema:
    shape = recognise(row)
    assert shape is not None
    return shape


SYSTEM = {"role": "system", "content": "Be kind."}


def taken(row: Row, *, score: bool = False, rank: bool = False) -> tuple[str, ...]:
    """(instruction, responses …)"""
    shape = SAMPLES if score else candidates.recognise(row) if rank else recognise(row)
    assert shape is not None
    found = shape(row)
    if score:
        return found["instruction"], found["response"]
    return (found["instruction"], *(found["responses"] if rank else (found["response_0"], found["response_1"])))
