"""A model run a block at a time, its weights in their files: the answers of the whole model, in a block's memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast_export.graph.prefix import as_cache, bake_prefix
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.reference.workers import at_once
from rlaif_fast_export.sources.mapped import Mapped
from rlaif_fast_export.sources.source import find_source
from rlaif_fast_export.writing.answers import in_one_session, in_segments
from tests.conftest import ROOT
from tests.families import FAMILIES, save_tiny, tiny_model


def _sequences() -> list[list[int]]:
    draw = torch.Generator().manual_seed(5)
    return [torch.randint(3, 300, (length,), generator=draw).tolist() for length in (5, 33, 70)]


@pytest.mark.parametrize("name", FAMILIES)
def test_its_logits_are_the_models(name: str) -> None:
    lm = tiny_model(name)
    model = Blockwise(lm, Mapped())
    prompts = model.start(_sequences())
    seen: list[int] = []
    model.through(prompts, lambda _: None, lambda block, _: seen.append(block))
    with model.ending() as logits, torch.no_grad():
        found = [logits(prompt, prompt.hidden) for prompt in prompts]
    for got, ids in zip(found, _sequences(), strict=True):
        with torch.no_grad():
            assert torch.allclose(got, lm(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1], atol=1e-5)
    assert seen == [0] * 3 + [1] * 3 + [2] * 3
    assert not any("forward" in vars(block) for block in model.blocks)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prefix_is_what_the_model_caches(name: str) -> None:
    lm, ids = tiny_model(name), _sequences()[1]
    cache = DynamicCache()
    with torch.no_grad():
        lm(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True)
    for layer, baked in zip(cache.layers, bake_prefix(Blockwise(lm, Mapped()), ids), strict=True):
        assert np.abs(layer.keys.numpy() - baked.key).max() < 1e-5
        assert np.abs(layer.values.numpy() - baked.value).max() < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_what_sequences_have_in_common_is_computed_once(name: str) -> None:
    lm, head = tiny_model(name), list(range(20, 60))
    model = Blockwise(lm, Mapped())
    groups = [[head + ids for ids in _sequences()], [[5, 6], [9, 6]], [[5, 6, 7], [5, 6, 7], [5, 6]], [[8]]]
    leads, fed = model.start_together(groups), []
    model.through(leads, lambda _: None, lambda index, prompt: fed.append((index, prompt)))
    assert [len(prompt.hidden[0]) for lead in leads for prompt in lead.followers] == [33, 70, 2, 1, 1]
    assert fed == [(index, lead) for index in range(3) for lead in leads]
    with model.ending() as logits, torch.no_grad():
        found = [logits(prompt, prompt.hidden) for lead in leads for prompt in (lead, *lead.followers)]
    for got, ids in zip(found, [ids for group in groups for ids in group], strict=True):
        with torch.no_grad():
            whole = lm(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        assert (got - whole).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_fed_what_stands_behind_a_prefix_give_the_same(name: str) -> None:
    head = [7, 8, 9, 10]
    model, fed = Blockwise(tiny_model(name), Mapped()), {}
    prompts = model.start([head + ids for ids in _sequences()])
    model.through(prompts, lambda _: None, lambda index, prompt: fed.update({(index, prompt): prompt.hidden}))
    last = {prompt: prompt.hidden for prompt in prompts}
    past = as_cache(bake_prefix(model, head))
    model.cut(prompts, past)
    for index in range(len(model.blocks)):
        with model.block(index) as block, torch.no_grad():
            for prompt in prompts * 2:
                found = block(prompt, fed[index, prompt][:, len(head) :])
                whole = fed.get((index + 1, prompt), last[prompt])[:, len(head) :]
                assert (found - whole).abs().max() < 1e-5 * whole.abs().max()
    assert past.get_seq_length() == len(head)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Of the numbers in the files, the float32 model's answers: what a model computes for itself is not halved."""
    folder = save_tiny(name, tmp_path / name, dtype=dtype)
    lm, mapped = find_source(str(folder)).stored_model()
    assert {p.dtype for p in lm.parameters()} == {dtype}
    if sys.platform == "linux":
        assert mapped.ranges
    exact = tiny_model(name)
    for parameter in exact.parameters():
        parameter.data = parameter.data.to(dtype).float()
    model = Blockwise(lm, mapped)
    prompts = model.start(_sequences())
    model.through(prompts, lambda _: None)
    with model.ending() as logits, torch.no_grad():
        for prompt, ids in zip(prompts, _sequences(), strict=True):
            whole = exact(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            assert torch.allclose(logits(prompt, prompt.hidden), whole, atol=1e-5)
    assert {p.dtype for p in lm.parameters()} == {dtype}


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are looked up in /proc")
def test_what_was_written_to_is_not_let_go(tmp_path: Path) -> None:
    lm, mapped = find_source(str(save_tiny("llama", tmp_path / "llama"))).stored_model()
    weight = lm.model.layers[0].mlp.up_proj.weight
    before = weight.clone()
    mapped.let_go()
    assert mapped.ranges and torch.equal(weight, before)
    weight.add_(1)
    files = [*(tmp_path / "llama").iterdir()]
    assert Mapped.of(files, [weight.data_ptr()]).ranges == () == Mapped.of(files, []).ranges


def test_a_graph_in_segments_answers_bit_for_bit(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlaif_fast_export.writing.segments._WEIGHTS", 30_000)
    pairs = [Judge(Bundle(llama)).manifest.prompt.probes[n] for n in (0, 3)]
    asked = [Pair(p.instruction, p.response_0, p.response_1) for p in pairs]
    ticks: list[float] = []
    bundle = Bundle(llama)
    prompt, arrays = bundle.manifest.prompt, bundle.arrays
    found = in_segments(llama, read_manifest(llama))(prompt, arrays, asked, ticks.append)
    assert len(ticks) > 5
    assert np.array_equal(found, in_one_session(llama)(prompt, arrays, asked, lambda _: None))


def test_workers_answer_in_order_and_let_errors_out() -> None:
    with at_once() as each:
        assert each(lambda n: n * n, range(9)) == [n * n for n in range(9)]
        with pytest.raises(ZeroDivisionError):
            each(lambda n: 1 // n, [1, 0, 2])


_PEAK = """
import resource, sys
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.sources.source import find_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lm, mapped = find_source(sys.argv[1]).stored_model()
model = Blockwise(lm, mapped)
prompts = model.start([list(range(3, 103))] * 4)
model.through(prompts, lambda _: None)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are let go on Linux only")
def test_weights_take_a_blocks_memory(tmp_path: Path) -> None:
    """Of a model whose 16 blocks have 268 MB in float32, 134 in their file."""
    shape = {"hidden_size": 512, "intermediate_size": 2048, "num_key_value_heads": 4, "initializer_range": 0.05}
    folder = save_tiny("llama", tmp_path / "model", dtype=torch.float16, num_hidden_layers=16, **shape)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "export")}
    done = subprocess.run([sys.executable, "-c", _PEAK, folder], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000_000
