"""The export, from MODEL to a bundle: load, ask the reference, trace, pass, write, verify, publish."""

from __future__ import annotations

import gc
import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from tokenizers import Tokenizer

from rlaif_fast.bundle import Bundle, entry
from rlaif_fast.errors import ExportError
from rlaif_fast.judge import Judge
from rlaif_fast.manifest import FILES, MANIFEST, MODEL, TOKENIZER, WEIGHTS, Cost, Manifest, ModelSource, Probe
from rlaif_fast.pairs import Pair
from rlaif_fast.template import Template
from rlaif_fast.tokens import PromptTokenizer
from rlaif_fast.version import __version__
from rlaif_fast_export import passes
from rlaif_fast_export.families import maximum_length
from rlaif_fast_export.passes.graph import dims
from rlaif_fast_export.prefix import bake_prefix
from rlaif_fast_export.reference import reference_log_odds
from rlaif_fast_export.sources import Source
from rlaif_fast_export.trace import LabelJudge, trace
from rlaif_fast_export.verify import fidelity, probe_pairs, require_faithful
from rlaif_fast_export.weights import UnsupportedModule, Weights

Progress = Callable[[str, float], None]  # (what is being done, share of it done in [0, 1])
_PAGE = 4096  # bytes; tensors start on a page, so the runtime maps them as they lie


@dataclass
class _Prepared:
    """Everything about a bundle but its graph's error."""

    tokenizer: PromptTokenizer
    pairs: list[Pair]
    sequences: list[list[int]]  # forward, swapped, forward, ... of the probe pairs
    reference: np.ndarray[Any, np.dtype[np.float64]]  # [pairs, 2] log-odds of response_0


def export_bundle(source: Source, output: Path, template: Template, *, force: bool, progress: Progress) -> Path:
    """Export ``source`` at fp32 into the folder ``output``.

    The bundle appears at ``output`` whole and verified, or not at all. The model's weights are
    held once; a second time only while they lie in the page cache on their way to disk, or in
    the session that verifies them, after the model was let go.

    Raises:
        ExportError: unsupported, not loadable, or not faithful to PyTorch.
        TemplateError: the template does not fit the tokenizer.
    """
    if output.exists() and not force:
        raise ExportError(f"{output}: exists already, give --force to replace it or another folder with -o")
    progress(f"reading the configuration of {source.name}", 0)
    config = source.config()
    with _scratch(output) as folder:
        manifest, prepared = _build(source, config, template, folder, progress)
        gc.collect()  # the PyTorch model is gone: its memory is free for the session
        _verify(folder, manifest, prepared, progress)
        _publish(folder, output)
    return output


def _build(
    source: Source, config: Any, template: Template, folder: Path, progress: Progress
) -> tuple[Manifest, _Prepared]:
    fast = source.tokenizer()
    tokenizer = PromptTokenizer(Tokenizer.from_str(fast.backend_tokenizer.to_str()))
    label_ids, prefix_ids = tokenizer.label_ids(template), tokenizer.prefix_ids(template)
    if not prefix_ids:
        raise ExportError(f"template {template.name}: its head must be at least one token long")
    Tokenizer.from_str(fast.backend_tokenizer.to_str()).save(str(folder / TOKENIZER))
    progress(f"loading {source.name}", 0)
    lm = source.model()
    longest = maximum_length(config)
    prepared = _ask_reference(lm, tokenizer, template, label_ids, longest, progress)
    progress("tracing", 0)
    judge = LabelJudge(lm, label_ids).eval()
    prefix = bake_prefix(judge.base, prefix_ids)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            graph = trace(judge, len(prefix_ids), Path(scratch))
        counts = passes.run(graph, Weights(judge), prefix, longest)
    except (passes.PassError, UnsupportedModule) as error:
        raise ExportError(f"{source.name}: {error}; please report the model") from error
    manifest = Manifest(
        model=ModelSource(
            id=source.name,
            revision=getattr(config, "_commit_hash", None),
            licence=source.card_licence(),
            architecture=config.model_type,
            parameters=sum(p.numel() for p in lm.parameters()),
        ),
        template=template,
        label_ids=label_ids,
        precision="fp32",
        prefix_ids=tuple(prefix_ids),
        maximum_length=longest,
        cost=_cost(graph, config),
        passes=counts,
        operators=dict(Counter(f"{n.domain}.{n.op_type}".lstrip(".") for n in graph.graph).most_common()),
        fidelity=fidelity(prepared.reference, prepared.reference, "nothing yet"),
        probes=tuple(
            Probe(p.instruction, p.response_0, p.response_1, (float(d[0]), float(d[1])))
            for p, d in zip(prepared.pairs, prepared.reference, strict=True)
        ),
        tools={n: version(n) for n in ("torch", "transformers", "optimum-onnx", "onnx", "onnx-ir", "onnxruntime")}
        | {"rlaif-fast": __version__},
    )
    _write(graph, folder, progress)
    return manifest, prepared


def _ask_reference(
    lm: Any, tokenizer: PromptTokenizer, template: Template, label_ids: tuple[int, int], longest: int,
    progress: Progress,
) -> _Prepared:  # fmt: skip
    pairs, sequences = [], []
    for pair in probe_pairs():
        prompts = [
            tokenizer.encode(template.render(pair.instruction, pair.response_0, pair.response_1)),
            tokenizer.encode(template.render(pair.instruction, pair.response_1, pair.response_0)),
        ]
        if max(map(len, prompts)) <= longest:  # a model of a tiny context is verified on what fits
            pairs.append(pair)
            sequences += prompts
    if not pairs:
        raise ExportError(f"the model's context of {longest} tokens holds none of the prompts a bundle is verified on")
    answers = []
    for number, prompt in enumerate(sequences):
        progress("asking PyTorch for the reference answers", number / len(sequences))
        answers.append(reference_log_odds(lm, [prompt], label_ids)[0])
    by_order = np.array(answers).reshape(-1, 2) * [1, -1]  # the swapped order shows response_0 second
    return _Prepared(tokenizer, pairs, sequences, by_order)


def _cost(graph: ir.Model, config: Any) -> Cost:
    """Of the graph's full layers: the label head and what only judged rows pass through count too, slightly."""
    products = [n.inputs[1] for n in graph.graph if n.op_type == "MatMul" and n.inputs[1].is_initializer()]
    linear = sum(math.prod(dims(weight)) for weight in products)
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Cost(per_token=linear, per_token_pair=2 * config.num_hidden_layers * heads * size)


def _write(graph: ir.Model, folder: Path, progress: Progress) -> None:
    graph.opset_imports.setdefault("com.microsoft", 1)
    graph.opset_imports.pop("rlaif", None)
    graph.metadata_props.clear()

    def written(_: object, done: Any) -> None:
        progress("writing the weights", done.index / max(done.total, 1))

    ir.save(
        graph, folder / MODEL, external_data=WEIGHTS, size_threshold_bytes=_PAGE, callback=written,
        max_workers=1, alignment=_PAGE, align_threshold=_PAGE,
    )  # fmt: skip


def _verify(folder: Path, manifest: Manifest, prepared: _Prepared, progress: Progress) -> None:
    """Judge the probe pairs with the bundle as a user would, and complete the manifest with the error found."""
    files = {name: entry(folder / name) for name in FILES}
    draft = replace(manifest, files=files)
    (folder / MANIFEST).write_text(draft.to_json(), encoding="utf-8")
    progress("verifying against PyTorch", 0)
    judge = Judge(Bundle(folder))
    got = []
    for number, pair in enumerate(prepared.pairs):
        progress("verifying against PyTorch", number / len(prepared.pairs))
        got.append(judge.judge(pair).log_odds_by_order)
    found = fidelity(np.array(got), prepared.reference, f"{len(got)} probe pairs in both orders")
    require_faithful(found, manifest.model.id)
    (folder / MANIFEST).write_text(replace(draft, fidelity=found).to_json(), encoding="utf-8")


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """A folder beside ``output`` that is gone afterwards, whatever happens but a kill; that, the next export mends."""
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{output.name}.partial-"
    for left in output.parent.glob(f"{prefix}*"):
        if not _alive(left.name.removeprefix(prefix)):
            shutil.rmtree(left, ignore_errors=True)
    folder = output.parent / f"{prefix}{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _publish(folder: Path, output: Path) -> None:
    """Move the finished bundle to its place; an older one goes only once the new one stands."""
    for path in folder.iterdir():
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
    old = output.with_name(f".{output.name}.old-{os.getpid()}")
    if output.exists():
        output.rename(old)
    try:
        folder.rename(output)
    except OSError:
        if old.exists():
            old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)
