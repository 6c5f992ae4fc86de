"""The rounding of weights to int8, and what the forms of an input do to it."""

from __future__ import annotations

import pytest
import torch

from rlaif_fast_export.int8.forms import SHARES, Kind, rounding_error
from rlaif_fast_export.int8.rounding import LARGE, _shares, compensated, feature_parts, nearest


def _alike(features: int) -> list[torch.Tensor]:
    """Gradients that are independent of each other: no feature takes over another's error."""
    return [torch.eye(n) for n in feature_parts(features)]


def test_compensated_rounding_beats_the_nearest() -> None:
    """For every scaling of the channels, though all share one factor of the Gram matrix."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(160, 160, generator=generator)
    x = torch.randn(500, 160, generator=generator) @ mixing  # correlated channels
    weight, gram = torch.randn(16, 160, generator=generator), x.T @ x
    scalings = [torch.ones(160), 0.5 + torch.rand(160, generator=generator)]
    for scaling_, rounded in zip(scalings, compensated(weight, gram, _alike(16), scalings), strict=True):
        assert rounded.values.dtype == torch.int8 and int(rounded.values.abs().max()) <= 127
        near = nearest(weight, scaling_)
        assert torch.equal(near.scales, rounded.scales) and not torch.equal(near.values, rounded.values)
        error, other = ((x @ (r.dequantized() / scaling_ - weight).T).square().mean() for r in (rounded, near))
        assert error < 0.5 * other
    assert torch.equal(gram, x.T @ x)


def test_compensated_rounding_is_gptqs() -> None:
    """Against the method as its paper has it: by the inverse of the Gram matrix, in float64."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(300, 40, generator=generator) @ torch.randn(40, 40, generator=generator)
    weight, gram = torch.randn(8, 40, generator=generator), x.T @ x
    found = compensated(weight, gram, _alike(8), [torch.ones(40)])[0]
    order = torch.argsort(gram.diagonal()).flip(0)
    damped = gram.double()[order][:, order]
    damped.diagonal().add_(0.01 * damped.diagonal().mean())
    left, steps = (weight[:, order] / found.scales[:, None]).double(), torch.empty(8, 40)
    for i in range(40):
        inverse = torch.linalg.inv(damped[i:, i:])
        steps[:, i] = left[:, i].round().clamp(-127, 127)
        error = (left[:, i] - steps[:, i]) / inverse[0, 0]
        left[:, i:] -= error[:, None] * inverse[0]
    assert (found.values[:, order] == steps).float().mean() > 0.99, "but for values between two steps"


def test_features_take_over_errors_as_the_paper_has_it() -> None:
    """Against rounding one value after the other by the inverse of the whole Hessian, a Kronecker product, in float64.

    With as many features as turns each is rounded by itself.
    """
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(300, 20, generator=generator) @ torch.randn(20, 20, generator=generator)
    g = torch.randn(200, 8, generator=generator) @ torch.randn(8, 8, generator=generator)
    weight, gram, behind = torch.randn(8, 20, generator=generator), x.T @ x, g.T @ g
    found = compensated(weight, gram, [behind], [torch.ones(20)])[0]

    def damped(of: torch.Tensor, damping: float) -> tuple[torch.Tensor, torch.Tensor]:
        order = torch.argsort(of.diagonal()).flip(0)
        sorted_ = of.double()[order][:, order]
        return sorted_ + damping * sorted_.diagonal().mean() * torch.eye(len(of), dtype=torch.float64), order

    (inputs, channels), (outputs, features) = damped(gram, 0.01), damped(behind, 0.2)
    hessian = torch.kron(outputs, inputs)
    scales = found.scales[features].double().repeat_interleave(20)
    exact = weight[features][:, channels].double().ravel()
    left, steps = exact.clone(), torch.empty(160)
    for i in range(160):
        inverse = torch.linalg.inv(hessian[i:, i:])
        steps[i] = (left[i] / scales[i]).round().clamp(-127, 127)
        left[i:] -= (left[i] - steps[i] * scales[i]) / inverse[0, 0] * inverse[0]
    same = found.values[features][:, channels] == steps.view(8, 20)
    assert same.float().mean() > 0.99, "but for values between two steps"


@pytest.mark.parametrize(("features", "width"), [(96, 160), (1100, 64), (2100, LARGE // 2048)])
def test_the_verdict_moves_less_on_other_texts(features: int, width: int) -> None:
    """Gradients of a few directions, and some noise: in one part, in two, and by several threads."""
    generator = torch.Generator().manual_seed(7)
    directions = torch.randn(6, features, generator=generator)
    mixing = torch.randn(width, width, generator=generator)

    def texts(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        g = torch.randn(count, 6, generator=generator) @ directions
        noise = 0.3 * torch.randn(count, features, generator=generator)
        return torch.randn(count, width, generator=generator) @ mixing, g + noise

    x, g = texts(400)
    weight = torch.randn(features, width, generator=generator)
    behind = [part.T @ part for part in g.split(feature_parts(features), 1)]
    gram, alone = x.T @ x, [torch.ones(width)]
    x, g = texts(300)
    moved = [
        float(((x @ (made[0].dequantized() - weight).T) * g).sum(1).square().mean())
        for made in (compensated(weight, gram, which, alone) for which in (behind, _alike(features)))
    ]
    assert moved[0] < 0.5 * moved[1]


def test_rounding_survives_channels_that_are_never_fed() -> None:
    gram, alone = torch.zeros(8, 8), [torch.ones(8)]
    gram[0, 0] = 1
    weight = torch.linspace(-1, 1, 24).reshape(3, 8)
    assert torch.allclose(compensated(weight, gram, _alike(3), alone)[0].dequantized(), weight, atol=1 / 127)
    assert torch.isfinite(compensated(torch.zeros(2, 8), gram, [torch.zeros(2, 2)], alone)[0].dequantized()).all()


@pytest.mark.parametrize("kind", Kind)
def test_a_forms_error_is_below_its_step(kind: Kind) -> None:
    z = torch.linspace(-1, 1, 4001).reshape(1, -1).repeat(2, 1) * torch.tensor([[1.0], [0.01]])
    error = rounding_error(z, kind, SHARES.get(kind, 0.3)).abs().amax(1)
    step = {
        Kind.ROWS: (1 / 127, 0.01 / 127), Kind.TERMS: (2**-14, 2**-14), Kind.FLOAT: (0, 0),
    }[kind]  # fmt: skip
    allowed = 1.001 if kind is Kind.TERMS else 0.501  # the second term lacks a level at its upper end
    assert error[0] <= step[0] * allowed and error[1] <= step[1] * allowed


@pytest.mark.parametrize("beyond", [1.5, 4.0, 25.0])
def test_values_beyond_the_calibrations_are_not_clipped(beyond: float) -> None:
    """With 8 bits, and with 16 in an ending's rows, whose channels are scaled alike."""
    z = beyond * torch.linspace(-1, 1, 401)[None]
    assert rounding_error(z, Kind.ROWS, 1.0).abs().max() <= 0.501 * beyond / 127
    if beyond < 8:
        assert rounding_error(z, Kind.TERMS, SHARES[Kind.ROWS]).abs().max() <= 2**-12


def test_shares_are_of_the_damped_matrixs_factor() -> None:
    x = torch.randn(300, 80, generator=torch.Generator().manual_seed(1))
    gram = x.T @ x
    damped = gram.double() + 0.01 * gram.double().diagonal().mean() * torch.eye(80, dtype=torch.float64)
    share = _shares(gram).double()
    root = torch.linalg.cholesky(damped)
    assert torch.allclose(share.tril(), root / root.diagonal(), atol=1e-4)
