"""Every parameter came from the checkpoint, and nothing in the checkpoint was left out: or one line that names it."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlaif_fast import ExportError
from rlaif_fast_export.sources.lane import NEXT
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run
from tests.families import FAMILIES, tiny_model
from tests.test_gguf import logits, remade

Tensors = dict[str, torch.Tensor]
FILE = "model.safetensors"


@pytest.fixture
def folder(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A tiny Llama with a head of its own, to be damaged."""
    return Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Change the tensors of ``folder``."""
    changed = change(load_file(folder / FILE))
    save_file({name: tensor.contiguous() for name, tensor in changed.items()}, folder / FILE)


def configure(folder: Path, **values: object) -> None:
    """Change config.json; None takes a key out."""
    path = folder / "config.json"
    said = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in said.items() if v is not None}))


def read(folder: Path) -> None:
    """What is read before the weights."""
    source = find_source(str(folder))
    source.config()
    source.tokenizer()


def refusal(folder: Path) -> str:
    """The one line a folder is refused with."""
    with pytest.raises(ExportError) as raised:
        find_source(str(folder)).model()
    said = str(raised.value)
    assert said.startswith(f"{folder.name}: ") and len(said.splitlines()) == 1 and len(said) < 600, said
    return said


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sound_folder_is_taken_whole(name: str, tiny_folder: Callable[[str], Path]) -> None:
    source = find_source(str(tiny_folder(name)))
    assert torch.equal(logits(source.model()), logits(tiny_model(name))) and source.unused == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.pop("lm_head.weight"), 'lm_head.weight; if the head is .* set "tie_word_embeddings": true'),
        (lambda t: t.update(head=t.pop("lm_head.weight")), "missing in its files: lm_head.weight, while head belong"),
        (lambda t: t.update({"score.weight": t.pop("lm_head.weight")[:1]}),
         r"head of a reward, value or classification model \(score.weight\), and lm_head.weight is missing"),
        (lambda t: t.update({"score.weight": torch.ones(1, 64)}), r"classification model \(score.weight\);"),
        (lambda t: t.update({"v_head.summary.weight": torch.ones(1, 64)}), "v_head.summary.weight"),
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "1 tensor is missing .*layers.1.mlp.up_proj.weight"),
        (lambda t: [t.pop(n) for n in list(t) if ".layers.1." in n], "9 tensors are missing .* in all"),
        (lambda t: t.update({"model.layers.3.mlp.up_proj.weight": torch.ones(128, 64)}),
         "1 tensor is in its files but not in a llama model of 3 layers: model.layers.3.mlp.up_proj.weight"),
        (lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(64)}), "1 tensor is in its files"),
        (lambda t: t.update({"model.norm.weight": torch.ones(32)}), r"another shape .*model.norm.weight .*\[64\]"),
        (lambda t: t["model.norm.weight"].fill_(float("nan")), "1 tensor is not finite .*model.norm.weight"),
        (lambda t: t["lm_head.weight"][7].fill_(float("inf")), "1 tensor is not finite .*lm_head.weight"),
        (lambda t: t.update({"lm_head.weight": t["lm_head.weight"].to(torch.int8)}), "weights are quantized .*lm_head"),
        (lambda t: t.clear(), "missing in its files"),
        (lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.full((8,), 0.5)}),
         "inv_freq in its files differs from what config.json says of rotary positions"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_the_models(change: Callable[[Tensors], object], reason: str, folder: Path) -> None:
    def changed(tensors: Tensors) -> Tensors:
        change(tensors)
        return tensors

    rewrite(folder, changed)
    assert re.search(reason, refusal(folder)), refusal(folder)


HEADS = ["value_head.safetensors", "value_head.bin", "v_head.safetensors", "score.safetensors"]


@pytest.mark.parametrize("file", HEADS)
def test_a_head_in_a_file_of_its_own(file: str, folder: Path) -> None:
    (folder / file).write_bytes(b"weights")
    assert f"head of a reward, value or classification model ({file})" in refusal(folder)


def test_an_adapter_of_mlx(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapters.safetensors").write_bytes(b"weights")
    assert "adapters.safetensors is an adapter as MLX saves it" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "tensor", "value"),
    [
        ("llama", "model.layers.0.attn.bias", torch.randn(64)),
        ("llama", "model.layers.0.attention.bias", torch.ones(1, 1, 8, 8).tril()),
        ("gpt-neox", "gpt_neox.layers.0.attention.bias_k", torch.randn(64)),
        ("gpt-neox", "gpt_neox.layers.0.attention.biases.x", torch.randn(64)),
        ("gpt-neox", "gpt_neox.layers.0.attention.bias", torch.randn(64)),
        ("gpt-neox", "gpt_neox.layers.0.attention.bias", torch.ones(1, 1, 8, 8)),
        ("gpt2", "transformer.h.0.attn.bias", torch.randn(1, 1, 8, 8)),
    ],
)
def test_what_only_looks_like_a_mask(
    name: str, tensor: str, value: torch.Tensor, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder(name), tmp_path / "model"))
    rewrite(folder, lambda tensors: tensors | {tensor: value})
    assert tensor in refusal(folder)


@pytest.mark.parametrize(
    ("name", "part"), [("gpt-neox", "gpt_neox.layers.0.attention."), ("gpt2", "transformer.h.0.attn.")]
)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_masks_are_computed(
    name: str, part: str, dtype: torch.dtype, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder(name), tmp_path / "model"))
    masks = {f"{part}bias": torch.ones(1, 1, 8, 8).tril().to(dtype), f"{part}masked_bias": torch.tensor(-1e9)}
    rewrite(folder, lambda tensors: tensors | masks)
    source = find_source(str(folder))
    assert torch.equal(logits(source.model()), logits(tiny_model(name))) and source.unused == sorted(masks)


def test_frequencies_from_before_their_scaling(folder: Path) -> None:
    configure(folder, rope_parameters=None, rope_scaling={"type": "linear", "factor": 4.0})
    frequencies = tiny_model("llama").model.rotary_emb.inv_freq
    rewrite(folder, lambda tensors: tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": frequencies.clone()})
    twin = remade(tiny_model("llama"), rope_scaling={"rope_type": "linear", "factor": 4.0})
    assert torch.allclose(logits(find_source(str(folder)).model()), logits(twin), atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "language_model."])
def test_a_head_of_its_own_behind_a_prefix(prefix: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Which the loader takes off, and then ties the head to the embedding."""
    folder = Path(shutil.copytree(tiny_folder("gemma3"), tmp_path / "model"))
    base = load_file(folder / FILE)
    head = torch.randn_like(base["model.embed_tokens.weight"])
    renamed = {prefix + name: tensor for name, tensor in base.items()}
    rewrite(folder, lambda _: renamed | {f"{prefix}lm_head.weight": head})
    if NEXT and prefix:  # transformers 5 takes none off
        assert f"{prefix!r} before their names" in refusal(folder)
        return
    assert f"{prefix}lm_head.weight differs from it" in refusal(folder)
    rewrite(folder, lambda _: renamed)
    assert torch.equal(logits(find_source(str(folder)).model()), logits(tiny_model("gemma3")))


@pytest.mark.parametrize("prefix", ["module.", "model.", "base_model.model.", "_orig_mod.", "transformer."])
def test_names_behind_a_prefix(prefix: str, folder: Path) -> None:
    rewrite(folder, lambda tensors: {prefix + name: value for name, value in tensors.items()})
    if NEXT and prefix == "model.":  # transformers 5 takes its own off twice
        assert torch.equal(logits(find_source(str(folder)).model()), logits(tiny_model("llama")))
        return
    assert f"{prefix!r} before their names: save the unwrapped model" in refusal(folder)


def test_a_decoder_without_its_prefix_and_tied_is_whole(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """As GPT-2 and others were published: transformers puts the prefix there."""
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "model"))
    rewrite(folder, lambda t: {n.removeprefix("transformer."): v for n, v in t.items() if n != "lm_head.weight"})
    assert torch.equal(logits(find_source(str(folder)).model()), logits(tiny_model("gpt2")))


def test_what_old_files_carry_along_is_named(folder: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    frequencies = tiny_model("llama").model.rotary_emb.inv_freq.half()
    names = [f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(3)]
    rewrite(folder, lambda tensors: tensors | {name: frequencies.clone() for name in names})
    source = find_source(str(folder))
    source.model()
    assert source.unused == names
    for more, shown in ((), f"{names[0]}, ... (--verbose names all)"), (("--verbose",), ", ".join(names)):
        done = rlaif_fast("export", folder, "-o", tmp_path / "out", "--precision", "fp32", "--force", *more)
        assert done.status == 0, done.err
        assert f"3 tensors of the files are computed from the configuration instead: {shown}" in done.err


def test_a_lost_tie_is_not_guessed(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder("qwen2"), tmp_path / "model"))
    configure(folder, tie_word_embeddings=True)
    rewrite(folder, lambda tensors: {n: v for n, v in tensors.items() if n != "lm_head.weight"})
    twin = tiny_model("qwen2")
    twin.lm_head.weight = twin.model.embed_tokens.weight
    assert torch.equal(logits(find_source(str(folder)).model()), logits(twin))
    for value in (None, False):
        configure(folder, tie_word_embeddings=value)
        assert 'set "tie_word_embeddings": true in config.json' in refusal(folder)


def test_a_tie_that_the_files_contradict(folder: Path) -> None:
    configure(folder, tie_word_embeddings=True)
    assert "lm_head.weight differs from it" in refusal(folder)
    rewrite(folder, lambda tensors: {n: v for n, v in tensors.items() if n != "model.embed_tokens.weight"})
    if not NEXT:  # 5 ties the embedding to the head then
        assert "missing in its files: model.embed_tokens.weight" in refusal(folder)
    rewrite(folder, lambda tensors: tensors | {"model.embed_tokens.weight": tensors["lm_head.weight"].clone()})
    assert find_source(str(folder)).model().lm_head.weight.shape == (400, 64)


@pytest.mark.parametrize(("layers", "reason"), [(2, "9 tensors are in its files"), (4, "9 tensors are missing")])
def test_fewer_or_more_layers_than_the_files_have(layers: int, reason: str, folder: Path) -> None:
    configure(folder, num_hidden_layers=layers)
    assert reason in refusal(folder)


@pytest.fixture
def shards(folder: Path) -> Path:
    """The same model in several files."""
    (folder / FILE).unlink()
    tiny_model("llama").save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def test_shards(shards: Path) -> None:
    assert torch.equal(logits(find_source(str(shards)).model()), logits(tiny_model("llama")))


def test_a_missing_shard(shards: Path) -> None:
    part = sorted(shards.glob("model-*.safetensors"))[1]
    part.unlink()
    assert f"named in model.safetensors.index.json are missing: {part.name}; download" in refusal(shards)


def test_an_index_that_is_not_of_its_shards(shards: Path) -> None:
    index = shards / "model.safetensors.index.json"
    said = json.loads(index.read_text())
    file = said["weight_map"].pop("model.norm.weight")
    index.write_text(json.dumps(said))
    assert "model.safetensors.index.json and the parts it names differ in tensors: model.norm.weight" in refusal(shards)
    said["weight_map"] |= {"model.norm.weight": file, "extra": file}
    index.write_text(json.dumps(said))
    assert "differ in tensors: extra" in refusal(shards)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"weight_map": 1}', b"{"])
def test_a_damaged_index(content: bytes, shards: Path) -> None:
    (shards / "model.safetensors.index.json").write_bytes(content)
    assert "model.safetensors.index.json" in refusal(shards)


def test_no_weights(folder: Path) -> None:
    (folder / FILE).unlink()
    assert "no weights (model.safetensors or" in refusal(folder)


def _cut(size: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:size]


@pytest.mark.parametrize(
    "damage", [_cut(0), _cut(4), _cut(1000), _cut(-1), lambda c: b"\xff" * 8 + c[8:], lambda c: c[3:]]
)
@pytest.mark.parametrize("pickled", [False, True])
def test_a_damaged_file_of_weights(damage: Callable[[bytes], bytes], pickled: bool, folder: Path) -> None:
    path = folder / FILE
    if pickled:
        path = folder / "pytorch_model.bin"
        torch.save(load_file(folder / FILE), path)
        (folder / FILE).unlink()
        assert torch.equal(logits(find_source(str(folder)).model()), logits(tiny_model("llama")))
    path.write_bytes(damage(path.read_bytes()))
    assert path.name in refusal(folder)


def test_a_pickle_of_something_else(folder: Path) -> None:
    (folder / FILE).unlink()
    torch.save({"state_dict": {"a": torch.ones(1)}}, folder / "pytorch_model.bin")
    assert "state_dict is no tensor but dict" in refusal(folder)


@pytest.mark.parametrize("name", [FILE, "config.json", "tokenizer.json"])
def test_a_git_lfs_pointer(name: str, folder: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    done = rlaif_fast("export", folder, "-o", tmp_path / "out", "--precision", "fp32")
    assert done.status == 1 and not (tmp_path / "out").exists()
    said = f"error: model: {name} is a Git LFS pointer, not the file itself; run git lfs pull in its folder"
    assert done.err.splitlines()[-1] == said


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe\x00", b'{"a": 1}'])
def test_a_damaged_file_of_json(name: str, content: bytes, folder: Path) -> None:
    """Refused in one line; a tokenizer_config.json without anything in it is none that must be there."""
    (folder / name).write_bytes(content)
    if name == "tokenizer_config.json" and content == b'{"a": 1}':
        find_source(str(folder)).tokenizer()
        return
    with pytest.raises(ExportError) as raised:
        read(folder)
    assert len(str(raised.value).splitlines()) == 1


def test_the_cause_is_kept_for_debug(folder: Path) -> None:
    (folder / FILE).write_bytes(b"\x08")
    with pytest.raises(ExportError) as raised:
        find_source(str(folder)).model()
    assert type(raised.value.__cause__).__name__ == "SafetensorError"


@pytest.mark.skipif(importlib.util.find_spec("peft") is not None, reason="peft is installed")
def test_an_adapter_is_not_passed_over(folder: Path) -> None:
    """Without peft the command that merges is named."""
    said = json.dumps({"base_model_name_or_path": "owner/base", "peft_type": "LORA"})
    (folder / "adapter_config.json").write_text(said)
    source = find_source(str(folder))  # beside a merged model: a leftover
    assert torch.equal(logits(source.model()), logits(tiny_model("llama")))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    with pytest.raises(ExportError, match=r"^model: an adapter of owner/base, .*install peft .*merge_and_unload\(\)"):
        find_source(str(folder))


@pytest.mark.parametrize("whole", [[], ["lm_head"]])
def test_an_adapter_is_merged(whole: list[str], folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    base = tiny_model("llama")
    base.name_or_path = str(folder)
    settings = peft.LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, modules_to_save=whole
    )
    adapted = peft.get_peft_model(base, settings).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    source = find_source(str(tmp_path / "adapter"))
    assert source.name == "adapter"
    made = logits(source.model())
    assert torch.allclose(made, logits(adapted), atol=1e-3)
    assert not torch.allclose(made, logits(tiny_model("llama")), atol=0.1)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.model.layers.9.mlp.down_proj.lora_A.weight"] = tensors.pop(next(iter(tensors)))
    save_file(tensors, file)
    assert "adapter" in refusal(tmp_path / "adapter")
