"""A model of phi-1_5's shape with random weights: ``python -m benchmarks.make_phi FOLDER``.

1.42 billion parameters in fp16, 2.8 GB on disk, for timing what the embedded default is too small to show. Its
verdicts mean nothing; that two runtimes give the same ones does. Written one layer at a time, so that making it
takes little memory; transformers and every peer read it as they read the real one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, PhiConfig

from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.errors import RlaifFastError
from rlaif_fast_export.sources.quiet import quiet_libraries
from rlaif_fast_export.sources.source import find_source

_SHAPE = PhiConfig(
    vocab_size=51200,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=24,
    num_attention_heads=32,
    max_position_embeddings=2048,
    partial_rotary_factor=0.5,
    architectures=["PhiForCausalLM"],
)
_STD = 0.02  # of weights, as transformers initialises them; and of biases and norms around 0 and 1


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True)
@click.option("--layers", type=click.IntRange(min=1), default=24, show_default=True, help="Fewer for a quick try.")
def main(folder: Path, seed: int, layers: int) -> None:
    """Make the model in FOLDER, which must not exist yet, and print its path."""
    if folder.exists():
        raise click.ClickException(f"{folder}: exists already, give another folder")
    quiet_libraries()
    config = PhiConfig.from_dict({**_SHAPE.to_dict(), "num_hidden_layers": layers, "torch_dtype": "float16"})
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _save_tokenizer(partial, config)
        config.save_pretrained(partial)
        _save_weights(partial, config, torch.Generator().manual_seed(seed))
        partial.rename(folder)
    except RlaifFastError as error:
        raise click.ClickException(str(error)) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    click.echo(folder)


def _save_tokenizer(folder: Path, config: PhiConfig) -> None:
    """The embedded default's: its ids lie below phi's vocabulary size. Phi begins no text with a special token."""
    found = find_source(DEFAULT_MODEL).tokenizer()
    found.model_max_length = config.max_position_embeddings
    found.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)  # readable again
    config.bos_token_id, config.eos_token_id = found.bos_token_id, found.eos_token_id


def _save_weights(folder: Path, config: PhiConfig, generator: torch.Generator) -> None:
    """A file a layer and an index over them, as sharded checkpoints are."""
    index: dict[str, str] = {}
    total = 0
    for number, shapes in enumerate(_shards(config)):
        tensors = {name: _random(name, shape, generator) for name, shape in shapes.items()}
        file = f"model-{number:05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(tensors, file))
        total += sum(tensor.nbytes for tensor in tensors.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _shards(config: PhiConfig) -> Iterator[dict[str, tuple[int, ...]]]:
    """Names and shapes of PhiForCausalLM's parameters, in groups of a few hundred megabytes at most."""
    hidden, inner, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
    yield {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config.num_hidden_layers):
        linear = {
            **{f"self_attn.{name}": (hidden, hidden) for name in ("q_proj", "k_proj", "v_proj", "dense")},
            "mlp.fc1": (inner, hidden),
            "mlp.fc2": (hidden, inner),
        }
        shapes: dict[str, tuple[int, ...]] = _norm("input_layernorm", hidden)
        for name, shape in linear.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        yield {f"model.layers.{layer}.{name}": shape for name, shape in shapes.items()}
    yield {
        **_norm("model.final_layernorm", hidden),
        "lm_head.weight": (vocabulary, hidden),
        "lm_head.bias": (vocabulary,),
    }


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    centre = 1.0 if name.endswith("layernorm.weight") else 0.0
    return torch.empty(shape).normal_(centre, _STD, generator=generator).half()


if __name__ == "__main__":
    main()
