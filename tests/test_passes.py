"""The passes refuse graphs they do not understand; what they make of real ones, test_families holds to PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from rlaif_fast_export.graph.forms import UnsupportedModule
from rlaif_fast_export.graph.leaves import DOMAIN, leaves
from rlaif_fast_export.graph.nodes import PassError, emit, leaves_of, remove_dead
from rlaif_fast_export.graph.prefix import bake_prefix
from rlaif_fast_export.graph.trace import TreeDecoder, trace
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.passes import pipeline as passes
from rlaif_fast_export.passes.cut_linears import cut_linears
from rlaif_fast_export.passes.judged_only import judged_only
from rlaif_fast_export.passes.normal_attention import normal_attention
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.sources.mapped import Mapped
from tests.families import tiny_model


def _traced(name: str, tmp_path: Path) -> tuple[TreeDecoder, ir.Model]:
    decoder = TreeDecoder(tiny_model(name)).eval()
    return decoder, trace(decoder, tmp_path)


def test_a_trace_holds_no_weights(tmp_path: Path) -> None:
    _, graph = _traced("llama", tmp_path)
    assert not graph.graph.initializers
    assert len(leaves_of(graph.graph, "Linear")) == 3 * 7


def test_leaves_are_taken_back() -> None:
    model = tiny_model("llama")
    ids = torch.arange(9)[None]
    with torch.no_grad():
        before = model(ids).logits
        with leaves(model):
            assert model.config._attn_implementation == "rlaif_leaf"
        after = model(ids).logits
    assert torch.equal(before, after)


def test_leaves_are_taken_back_after_an_error() -> None:
    model = tiny_model("phi")
    with pytest.raises(RuntimeError, match="halfway"), leaves(model):
        raise RuntimeError("halfway")
    assert not any("forward" in vars(module) for module in model.modules())


def test_counts_are_asserted(tmp_path: Path) -> None:
    """A pass that matches fewer layers than the model has fails the export."""
    judge, graph = _traced("llama", tmp_path)
    prefix = bake_prefix(Blockwise(tiny_model("llama"), Mapped()), [1, 2, 3])
    with pytest.raises(PassError, match=r"3 of its 4 layers have an attention"):
        passes.run(graph, Weights(judge), [*prefix, prefix[0]], 1024, 64)


def test_normal_attention_refuses_what_it_cannot_follow(tmp_path: Path) -> None:
    judge, graph = _traced("llama", tmp_path)
    attention = leaves_of(graph.graph, "Attention")[0]
    attention.replace_input_with(0, emit(attention, "Softplus", attention.inputs[0]))
    with pytest.raises(PassError, match="cannot follow"):
        normal_attention(graph, Weights(judge))


def test_normal_attention_refuses_differently_rotated_keys(tmp_path: Path) -> None:
    judge, graph = _traced("llama", tmp_path)
    attention = leaves_of(graph.graph, "Attention")[0]
    attention.replace_input_with(1, attention.inputs[1].producer().inputs[0])
    with pytest.raises(PassError, match="rotated differently"):
        normal_attention(graph, Weights(judge))


def test_judged_only_refuses_an_operator_that_mixes_tokens(tmp_path: Path) -> None:
    judge, graph = _traced("llama", tmp_path)
    normal_attention(graph, Weights(judge))
    norm = leaves_of(graph.graph, "RMSNorm")[-1]
    norm.replace_input_with(0, emit(norm, "CumSum", norm.inputs[0], norm.inputs[0]))
    with pytest.raises(PassError, match="CumSum"):
        judged_only(graph)


def test_judged_only_needs_the_judged_positions(tmp_path: Path) -> None:
    judge, graph = _traced("llama", tmp_path)
    normal_attention(graph, Weights(judge))
    for leaf in leaves_of(graph.graph, "Attention"):
        leaf.op_type = "Other"
    with pytest.raises(PassError, match="judged positions"):
        judged_only(graph)


def test_a_leaf_nobody_lowers_fails(tmp_path: Path) -> None:
    judge, graph = _traced("llama", tmp_path)
    prefix = bake_prefix(Blockwise(tiny_model("llama"), Mapped()), [1, 2, 3])
    head = leaves_of(graph.graph, "Linear")[-1]
    head.replace_input_with(0, emit(head, "Unknown", head.inputs[0], domain=DOMAIN))
    with pytest.raises(PassError):
        passes.run(graph, Weights(judge), prefix, 1024, 64)


def test_a_norm_of_another_formula_is_refused() -> None:
    class OddRMSNorm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.rand(8)), 1e-6

        def forward(self, x: Any) -> Any:
            return 2 * self.weight * x

    with pytest.raises(UnsupportedModule, match="OddRMSNorm"):
        Weights(torch.nn.Sequential(OddRMSNorm())).norm("0")


def test_fused_layers_are_cut_into_the_right_rows(tmp_path: Path) -> None:
    """GPT-NeoX interleaves q, k, v head by head, GPT-2 puts them side by side: both give contiguous parts."""
    from rlaif_fast_export.graph.plan import pieces

    for name, first_k_row in (("gpt-neox", 16), ("gpt2", 64)):
        judge, graph = _traced(name, tmp_path)
        weights = Weights(judge)
        assert cut_linears(graph, weights) == (9 if name == "gpt2" else 0)
        assert normal_attention(graph, weights) == 3
        q, k, v = (pieces(i.producer())[0] for i in leaves_of(graph.graph, "Attention")[0].inputs[:3])
        assert q.rows is not None and k.rows is not None and v.rows is not None
        assert k.rows[0] == first_k_row
        assert sorted([*q.rows, *k.rows, *v.rows]) == list(range(3 * 64))
        matrix = weights.matrix([q, k, v]).numpy()
        module = weights.module(q.module)
        whole = module.weight.detach().numpy()
        whole = whole if name == "gpt2" else whole.T
        np.testing.assert_array_equal(matrix, whole[:, [*q.rows, *k.rows, *v.rows]])


def test_remove_dead_keeps_what_is_read(tmp_path: Path) -> None:
    _, graph = _traced("llama", tmp_path)
    remove_dead(graph.graph)
    assert remove_dead(graph.graph) == 0
    assert leaves_of(graph.graph, "Embedding")
