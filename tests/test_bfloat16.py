"""bfloat16 computed in float32 is PyTorch's own bfloat16, but for the order of sums."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from rlaif_fast_export.reference.bfloat16 import InFloat32
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.sources.mapped import Mapped
from tests.families import tiny_model
from tests.plain_pytorch import reference_log_odds


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi"])
def test_its_answers_and_its_error_are_bfloat16s(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this CPU multiplies bfloat16 or not."""
    lm, draw = tiny_model(family), torch.Generator().manual_seed(5)
    prompts = [torch.randint(3, 300, (length,), generator=draw).tolist() for length in range(20, 60)]
    exact, own = reference_log_odds(lm, prompts, (5, 9)), reference_log_odds(_in_bfloat16(lm), prompts, (5, 9))
    error = np.abs(own - exact).mean()
    assert error > 0, "bfloat16 rounds"
    for there in (True, False):
        monkeypatch.setattr("rlaif_fast_export.reference.bfloat16.has_bfloat16", lambda: there)  # noqa: B023
        monkeypatch.setattr("rlaif_fast_export.reference.blockwise.has_bfloat16", lambda: there)  # noqa: B023
        found = _log_odds(Blockwise(lm, Mapped(), torch.bfloat16), prompts, (5, 9))
        assert np.abs(found - own).mean() < error / 2
        assert 0.7 < np.abs(found - exact).mean() / error < 1.4
    assert np.abs(_log_odds(Blockwise(lm, Mapped()), prompts, (5, 9)) - exact).max() < 1e-5, (
        "and the model is as before"
    )


def _in_bfloat16(lm: Any) -> Any:
    """A copy with bfloat16 parameters; the buffers stay as they are."""
    done = {id(p): torch.nn.Parameter(p.detach().bfloat16(), requires_grad=False) for p in lm.parameters()}
    return copy.deepcopy(lm, dict(done))


def _log_odds(model: Blockwise, sequences: list[list[int]], labels: tuple[int, int]) -> Any:
    prompts = model.start(sequences)
    model.through(prompts, lambda _: None)
    with model.ending() as logits, torch.no_grad():
        rows = [logits(prompt, prompt.hidden).double() for prompt in prompts]
    return np.array([float(row[labels[0]] - row[labels[1]]) for row in rows])


def test_only_products_of_bfloat16_are_touched() -> None:
    one, other = torch.randn(4, 8), torch.randn(8, 3)
    with InFloat32():
        assert torch.equal(one @ other, torch.mm(one, other)) and (one @ other).dtype == torch.float32
        found = one.bfloat16() @ other.bfloat16()
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (one.bfloat16().float() @ other.bfloat16().float()).bfloat16())
