"""PyTorch through transformers: the seed notebook's way, and what its reader would improve first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.machine import has_bf16
from benchmarks.peers.base import Setup, TwoPasses, missing
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.rows.pairs import Pair


class SeedWay(TwoPasses):
    """The baseline: every default of transformers, logits of every position and a cache that is thrown away."""

    name = "seed"
    what = "PyTorch fp32, the seed's way: two forward passes, all logits"

    def available(self) -> str | None:
        return missing("torch", "transformers")

    def load(self, setup: Setup) -> None:
        from transformers import AutoTokenizer

        self._setup = setup
        self._tokenizer = AutoTokenizer.from_pretrained(setup.folder)
        self._model = load_model(setup, "float32")

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        import torch

        inputs = torch.tensor([ids])
        with torch.no_grad():
            logits = self._model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits  # [1, S, V]
        first, second = logits[0, -1, list(self._setup.label_ids)].tolist()
        return first, second

    def tokens(self, pair: Pair) -> list[list[int]]:
        """By the Hugging Face tokenizer, told that text is only text."""
        shown = [(pair.response_0, pair.response_1), (pair.response_1, pair.response_0)]
        prompts = [SUMMARY.render(pair.instruction, *responses) for responses in shown]
        return [self._tokenizer(prompt, split_special_tokens=True)["input_ids"] for prompt in prompts]

    def files(self, setup: Setup) -> list[Path]:
        return [*setup.folder.glob("*.safetensors")]


class LastLogits(TwoPasses):
    """PyTorch without what the verdict does not need: one position's logits, no cache."""

    def __init__(self, dtype: str, short: str) -> None:
        self.name = f"torch-{short}"
        self.what = f"PyTorch {short}, logits of the last position only, no cache"
        self._dtype = dtype

    def available(self) -> str | None:
        if self._dtype == "bfloat16" and not has_bf16():
            return "the chip has no bfloat16 products"
        return missing("torch", "transformers")

    def load(self, setup: Setup) -> None:
        self._setup = setup
        self._model = load_model(setup, self._dtype)

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        import torch

        with torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits  # [1, 1, V]
        first, second = logits[0, -1, list(self._setup.label_ids)].tolist()
        return first, second

    def files(self, setup: Setup) -> list[Path]:
        return [*setup.folder.glob("*.safetensors")]


def load_model(setup: Setup, dtype: str) -> Any:
    """The model with transformers' default attention (SDPA)."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(setup.threads)
    return AutoModelForCausalLM.from_pretrained(setup.folder, dtype=getattr(torch, dtype)).eval()
