"""What is asked of an int8 export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.selftest import FAITHFUL


@dataclass(frozen=True)
class Int8Options:
    """How an int8 bundle is made.

    Attributes:
        calibration: pairs the ranges and the rounding are fitted to; None for the project's own.
        fast: every value is rounded to the nearest, and all inputs have 16 bits, in place of a rounding and a mix that
            are fitted: a fraction of the time, a larger error and slower products.
        max_delta: largest mean |difference in log-odds| to PyTorch fp32 on the held-out pairs that a bundle may have.
    """

    calibration: Sequence[Pair] | None = None
    max_delta: float = FAITHFUL
    fast: bool = False
