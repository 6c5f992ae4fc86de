"""bfloat16 computed in float32 is PyTorch's own bfloat16, but for the order of sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlaif_fast_export.reference.bfloat16 import InFloat32, in_bfloat16
from rlaif_fast_export.reference.pytorch import reference_log_odds
from tests.families import tiny_model


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi"])
def test_its_answers_and_its_error_are_bfloat16s(family: str) -> None:
    lm = tiny_model(family)
    rough, draw = in_bfloat16(lm), torch.Generator().manual_seed(5)
    prompts = [torch.randint(3, 300, (length,), generator=draw).tolist() for length in range(20, 60)]
    exact, own = reference_log_odds(lm, prompts, (5, 9)), reference_log_odds(rough, prompts, (5, 9))
    with InFloat32():
        found = reference_log_odds(rough, prompts, (5, 9))
    error = np.abs(own - exact).mean()
    assert error > 0, "bfloat16 rounds"
    assert np.abs(found - own).mean() < error / 2
    assert 0.7 < np.abs(found - exact).mean() / error < 1.4


def test_only_products_of_bfloat16_are_touched() -> None:
    one, other = torch.randn(4, 8), torch.randn(8, 3)
    with InFloat32():
        assert torch.equal(one @ other, torch.mm(one, other)) and (one @ other).dtype == torch.float32
        found = one.bfloat16() @ other.bfloat16()
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (one.bfloat16().float() @ other.bfloat16().float()).bfloat16())
