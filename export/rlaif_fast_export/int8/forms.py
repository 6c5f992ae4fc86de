"""How the input of a product becomes int8, and what that does to it.

x [tokens, K] is scaled a channel, ``z = x / scale``, so that z lies in [-1, 1] on the calibration
texts; the scale goes into the weights, which does not change the product (SmoothQuant, arXiv
2211.10438). Ranges belong to one token or are constants, so a token's numbers do not depend on its
neighbours. What the runtime does with z:

======== ============================================================== =============
ROWS     8 bits over [-m, m], m the token's own maximum of |z|           one product
TERMS    16 bits over a constant range, as a value and a remainder       two products
FLOAT    nothing: inputs and weights stay float32                       as in float32
======== ============================================================== =============

8 bits over a constant range would be cheaper, but values beyond it are clipped, and other texts than
those of the calibration have them, up to 25 times as large (docs/performance.md).
"""

from __future__ import annotations

from enum import Enum

import torch

STEPS = 127  # of z in [0, 1]; the unsigned zero point is 128, so -1 and 1 both have a level
TERM_RATIO = 256  # how much finer the second term's step is
LOWEST = 1e-6  # of a range or a row's maximum: a channel that is constant on every text


class Kind(Enum):
    """See the module's docstring. Each is more precise than the one before."""

    ROWS = "rows"
    TERMS = "terms"
    FLOAT = "float"


# Of a channel's range that the weights take over: it spoils them, and what they leave are the inputs' outliers. Inputs
# of 8 bits need all of it, inputs of 16 can do with outliers (docs/performance.md).
SHARES = {Kind.ROWS: 1.0, Kind.TERMS: 0.3}
# The step of the first of two terms, by the share that the channels are scaled with. With all of it every channel comes
# near 1, and most go beyond on other texts, an ending's to 4: it has a range of 8 there, else 2.
TERM = {SHARES[Kind.ROWS]: 2.0**-4, SHARES[Kind.TERMS]: 2.0**-6}


def scaling(largest: torch.Tensor, weight_maxima: torch.Tensor, share: float) -> torch.Tensor:
    """The scale of each channel, float32 [K].

    Args:
        largest: of the |x| seen in the channel, [K].
        weight_maxima: of the |weights| the channel meets, [K].
        share: see SHARES.
    """
    reach = largest.clamp(min=LOWEST)
    scale = reach**share / weight_maxima.clamp(min=LOWEST) ** (1 - share)
    return scale * (reach / scale).max()


def rounding_error(z: torch.Tensor, kind: Kind, share: float) -> torch.Tensor:
    """What int8 adds to z [tokens, K], scaled with this share, as the runtime does it."""
    if kind is Kind.FLOAT:
        return torch.zeros_like(z)
    if kind is Kind.ROWS:
        largest = z.abs().amax(-1, keepdim=True).clamp(min=LOWEST)
        return (z / largest * STEPS).round() / STEPS * largest - z
    first = _levels(z, TERM[share])
    return first + _levels(z - first, TERM[share] / TERM_RATIO) - z


def _levels(z: torch.Tensor, step: float) -> torch.Tensor:
    return (z / step).round().clamp(-128, 127) * step
