"""What an export takes, said before it is spent: seconds, memory and disk.

The arithmetic of each step is known from the model's shape and the texts; the rate of this machine's float32 products
is measured in a second or so. The model is looked at without its weights.
"""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rlaif_fast.errors import ExportError
from rlaif_fast.runtime import memory
from rlaif_fast_export.int8.calibration import WEIGHED
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.rounding import TOGETHER
from rlaif_fast_export.other_prompts import FEW, FEW_EXACT
from rlaif_fast_export.reference.oracle import IN_BFLOAT16, OTHERS, share
from rlaif_fast_export.reference.texts import LARGE, shipped_pairs
from rlaif_fast_export.sources.products import products_of
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.answers import WHOLE
from rlaif_fast_export.writing.publication import left_behind

PATIENCE = 900  # seconds that the best int8 may take unless it is asked for
_LARGEST = 1 << 22  # weights of the product that is timed
_TOKENS, _ROUNDS = 384, 20
# Of a prompt that the project ships, about; of a bundle's float32 answer beside the time of its products alone.
_PROMPT, _OTHER = 400, 1.4
# Of such prompts, what a pair takes in both orders, which share their beginning; one of the probes is shorter.
_PROBE, _HELD_OUT = 0.8, 1.4
_OTHER_PROMPT, _OTHER_TEXT = 0.3, 0.25  # of one more prompt: its prefix, and each of the short pairs it is asked with
_START = 15.0  # seconds: imports, configuration, tokenizer, tracing
_DIGESTS = 3e8  # bytes a second, of a CPU without instructions for them
_PROCESS = 900_000_000  # bytes: libraries, threads, a segment of the finished graph


@dataclass(frozen=True)
class Estimate:
    """Of one export.

    Attributes:
        steps: seconds by step.
        memory: bytes, the largest at once.
        disk: bytes while it is made.
        kept: bytes of the bundle.
    """

    steps: dict[str, float]
    memory: int
    disk: int
    kept: int

    @property
    def seconds(self) -> float:
        """All steps."""
        return sum(self.steps.values())

    def __str__(self) -> str:
        seconds = self.seconds
        long = f"{max(10, 10 * round(seconds / 10))} seconds" if seconds < 95 else f"{round(seconds / 60)} minutes"
        sizes = [f"{size / 1e9:.1f} GB" for size in (self.memory, self.disk, self.kept)]
        return f"about {long}, {sizes[0]} of memory and {sizes[1]} of disk, of which the bundle keeps {sizes[2]}"

    def require(self, output: Path, name: str) -> None:
        """Raise ExportError where the disk of ``output``, or the memory, has no room for it."""
        there = memory.left()
        if there is not None and self.memory > there:
            raise ExportError(
                f"{name}: exporting it takes about {self.memory / 1e9:.1f} GB of memory, {there / 1e9:.1f} GB are left;"
                " close other programs, or export it on a larger machine and copy the bundle"
            )
        folder = output.parent
        while not folder.exists():
            folder = folder.parent
        # What a killed export left is gone on with, or removed.
        left = [f for p in left_behind(output) for f in p.rglob("*") if f.is_file()]
        free = shutil.disk_usage(folder).free + sum(f.stat().st_size for f in left)
        if self.disk > free:
            raise ExportError(
                f"{name}: exporting it takes about {self.disk / 1e9:.1f} GB of disk, {folder} has {free / 1e9:.1f} GB"
                " left; free some, or give another disk's folder with -o"
            )


@dataclass(frozen=True)
class Shape:
    """A model's, without its weights.

    Attributes:
        products: (K, N) of its matrix products, with their numbers.
        rate: operations a second of PyTorch's float32 products of the largest, on this machine.
    """

    parameters: int
    products: Counter[tuple[int, int]]
    rate: float
    hidden: int
    blocks: int
    in_memory: bool  # its files cannot be mapped: a .gguf file, or an adapter's base
    half: bool  # its files are in half precision
    scores: bool = False  # the bundle is for scores

    @classmethod
    def of(cls, model: Any, in_memory: bool) -> Shape:
        """Of a model without weights."""
        config = model.config
        parameters = sum(p.numel() for p in model.parameters())
        products = products_of(model)
        half = not in_memory and getattr(config, "dtype", None) in (torch.float16, torch.bfloat16)
        return cls(parameters, products, _rate(products), config.hidden_size, config.num_hidden_layers, in_memory, half)

    @property
    def linear(self) -> int:
        """Weights of the products."""
        return sum(k * n * times for (k, n), times in self.products.items())


def shape_of(source: Source, scores: bool = False) -> Shape | None:
    """The shape of a source's model; None where code of its own would have to run to know, or it has no blocks."""
    try:
        shape = replace(Shape.of(source.outline(), not source.is_mapped), scores=scores)
        return shape if shape.blocks else None
    except Exception:  # a class of its own, or one that computes while it is made: loading says what is wrong
        return None


def estimate(shape: Shape, int8: Int8Options | None, more: int = 0, along: int = 0) -> Estimate:
    """What an export of ``shape`` takes, with ``more`` prompts, and ``along`` that come where they cost little."""
    fast, own = int8 is not None and int8.fast, int8.calibration if int8 is not None else None
    rate, linear = shape.rate, shape.linear
    probes, held_out, texts = (
        len(shipped_pairs(name, shape.parameters)) for name in ("probes", "heldout", "calibration")
    )
    texts = texts if own is None else len(own)
    prompt = 2 * linear * _PROMPT / rate * _OTHER  # seconds of a forward pass in PyTorch
    block = 4 * linear // shape.blocks
    outside = 4 * max(0, shape.parameters - linear)
    held = _PROCESS + outside + 4 * shape.parameters * shape.in_memory
    weights = 4 * shape.parameters
    others = more + (along if shape.parameters < LARGE else 0)
    texts_of_others = FEW_EXACT if int8 is None else FEW
    other = others * prompt * (_OTHER_PROMPT + _OTHER_TEXT * texts_of_others)
    steps = {"loading": _START + weights / 2e9, "asking PyTorch for its answers": prompt * probes * _PROBE}
    texts_held = 8 * (2 * (probes + held_out) + texts) * _PROMPT * shape.hidden  # and their gradients
    if others:
        steps["asking PyTorch through the other prompts"] = other
        steps["verifying through the other prompts"] = other / 2
    if int8 is None:
        session = weights if weights <= WHOLE or shape.scores else 0  # which verifies it
        kept = weights // 2 if shape.half else weights
        steps["writing the weights"] = kept / _DIGESTS
        steps["verifying against PyTorch"] = prompt * probes * _PROBE
        return Estimate(steps, max(held + 2 * block + 500_000_000, _PROCESS + session), kept, kept)
    steps["asking PyTorch for its answers"] = prompt * (probes * _PROBE + held_out * _HELD_OUT + texts)
    steps["asking PyTorch in bfloat16 for its answers"] = 2 * prompt * share(held_out, IN_BFLOAT16) * _HELD_OUT
    tokens = _PROMPT * texts
    if fast:
        calibration = prompt * texts
    else:
        widths = sum((k * k + n * min(n, TOGETHER)) * times for (k, n), times in shape.products.items())
        factors = sum(k**3 * times for (k, _), times in shape.products.items())
        rounding = sum(k * n * (k + min(n, TOGETHER)) * times for (k, n), times in shape.products.items())
        others = share(probes, OTHERS)
        calibration = prompt * (2 * (texts + others) + 0.8 * (min(WEIGHED, texts / 2) + others))
        calibration += (0.9 * widths * tokens + 2 * factors / 3 + 4 * rounding) / rate
        calibration += 1e-4 * sum(k * times for (k, _), times in shape.products.items())
    steps["calibrating int8, block by block"] = calibration
    kept = linear + outside // 2
    steps["writing the weights"] = steps["verifying against PyTorch"] = 5 + kept / _DIGESTS + prompt * held_out / 2
    steps["measuring the constant shift"] = 5 + kept / _DIGESTS + prompt * (probes + min(WEIGHED, texts / 2)) / 2
    k = max(k for k, _ in shape.products)
    in_work = 4 * block + texts_held
    if not fast:
        in_work += 12 * k * k + 4 * 16 * _PROMPT * sum(map(sum, shape.products)) * 2
    spooled = (1 if fast else 2) * linear + 4 * (texts + share(probes, OTHERS)) * _PROMPT * shape.hidden * shape.blocks
    return Estimate(steps, max(held + in_work, _PROCESS + 2 * kept), 2 * kept + spooled, kept)


def _rate(products: Counter[tuple[int, int]]) -> float:
    k, n = max(products, key=math.prod)
    x, weight = torch.ones(_TOKENS, k), torch.ones(max(1, min(n, _LARGEST // k)), k)
    best = math.inf
    with torch.inference_mode():
        for _ in range(_ROUNDS):  # the best of them: others may want the cores for a moment
            started = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            best = min(best, time.perf_counter() - started)
    return 2 * _TOKENS * weight.numel() / best
