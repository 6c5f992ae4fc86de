"""int8: a prompt's last tokens are a stream of their own where the others are computed with 8 bits, and only there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.forms import SHARES, Kind
from rlaif_fast_export.int8.mix import Mix
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.products import groups
from rlaif_fast_export.int8.quantize import Calibrated, Int8, Product
from rlaif_fast_export.sources.source import find_source

PAIRS = [Pair("The quick brown fox. " * n, "A fox jumps over it.", "Lazy dog " * m) for n, m in [(1, 1), (4, 9)]]
# Of a block's groups in their order: attention's inputs, its output, and the MLP's, however many they are.
MIXES = {
    "precise": [Kind.TERMS],
    "8 bits": [Kind.ROWS],
    "both": [Kind.TERMS, Kind.ROWS, Kind.TERMS, Kind.TERMS, Kind.FLOAT, Kind.TERMS, Kind.ROWS],
}
FAMILIES = ["llama", "gemma2", "phi", "olmo2"]  # norms in front, behind too, behind; parallel attention


def _as_asked(kinds: Sequence[Kind]) -> Callable[..., Int8]:
    """In place of a choice by errors: ``kinds`` again and again."""

    def choose(self: Calibrated, model: ir.Model, target: float, steady: float) -> Int8:
        found = groups(model)
        wanted = {g.name: Kind.TERMS if g.critical else kinds[n % len(kinds)] for n, g in enumerate(found)}
        stored = {g.name: self.rounded[g.name][SHARES[Kind.TERMS]] for g in found}
        return Int8([Product(g, wanted[g.name], stored[g.name]) for g in found], Mix(wanted, 0.0, 0.0, ()))

    return choose


def _every_leaf(self: Int8) -> set[ir.Node]:
    return {leaf for product in self.products for leaf in product.group.leaves}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("name", FAMILIES)
def test_one_stream_answers_as_two(
    name: str, mix: str, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row's arithmetic is the same in both, so are the answers, but for a rounding that the last bits turn."""
    monkeypatch.setattr(Calibrated, "choose", _as_asked(MIXES[mix]))

    def export(folder: Path) -> Judge:
        export_bundle(
            find_source(str(tiny_folder(name))), folder, SUMMARY, force=False, progress=lambda what, share: None,
            int8=Int8Options(fast=True, max_delta=100.0),
        )  # fmt: skip
        return Judge.load(folder)

    by_regions = export(tmp_path / "regions")
    with monkeypatch.context() as patched:
        patched.setattr(Int8, "in_8_bits", _every_leaf)
        everywhere = export(tmp_path / "everywhere")
    answers = [[log_odds for v in judge.judge_many(PAIRS) for log_odds in v.log_odds_by_order]
               for judge in (by_regions, everywhere)]  # fmt: skip
    np.testing.assert_allclose(*answers, atol=2e-3)
    assert np.ptp(answers[0]) > 0.05
    counts, all_counts = by_regions.manifest.passes, everywhere.manifest.passes
    if mix == "precise":
        assert counts["ending_rows"] == counts["int8_endings"] == 0
        assert counts["own_tensors"] < all_counts["own_tensors"]
    elif mix == "8 bits":
        assert counts["int8_endings"] == all_counts["int8_endings"] > 0
        assert counts["ending_rows"] == all_counts["ending_rows"] > 0
    else:
        assert 0 < counts["int8_endings"] < all_counts["int8_endings"]
        assert 0 < counts["ending_rows"] < all_counts["ending_rows"]
