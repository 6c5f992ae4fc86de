"""The export, from MODEL to a bundle: load, ask the reference, trace, pass, write, verify, publish."""

from __future__ import annotations

import gc
import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from tokenizers import Tokenizer

from rlaif_fast.bundle import Bundle, entry, write_manifest
from rlaif_fast.errors import ExportError
from rlaif_fast.judge import Judge
from rlaif_fast.manifest import FILES, MODEL, TOKENIZER, WEIGHTS, Cost, Manifest, ModelSource, Probe
from rlaif_fast.pairs import Pair
from rlaif_fast.rater import Rater
from rlaif_fast.rating import ScoreTemplate
from rlaif_fast.selftest import FAITHFUL
from rlaif_fast.template import Template
from rlaif_fast.version import __version__
from rlaif_fast_export import passes
from rlaif_fast_export.int8.offset import shift_out
from rlaif_fast_export.int8.quantize import Int8, quantize
from rlaif_fast_export.passes.graph import dims
from rlaif_fast_export.prefix import bake_prefix
from rlaif_fast_export.prompt import FittedPrompt, fit
from rlaif_fast_export.reference import Asker, ScoreAsker, common_ending, in_bfloat16
from rlaif_fast_export.sources import Source
from rlaif_fast_export.texts import shipped_pairs
from rlaif_fast_export.trace import LabelJudge, trace
from rlaif_fast_export.verify import TOLERANCE, error_bound, fidelity, require_exact, require_faithful
from rlaif_fast_export.weights import UnsupportedModule, Weights

Progress = Callable[[str, float], None]  # (what is being done, share of it done in [0, 1])
# What the mix is chosen for, as a share of the error wanted: the expectation is made on the texts that the weights were
# fitted to, and comes out a third too low on others (docs/performance.md).
TARGET = 0.6
_PAGE = 4096  # bytes; tensors start on a page, so the runtime maps them as they lie


@dataclass(frozen=True)
class Int8Options:
    """How an int8 bundle is made.

    Attributes:
        calibration: pairs the ranges and the rounding are fitted to; None for the project's own.
        max_delta: largest mean |difference in log-odds| to PyTorch fp32 on the held-out pairs that a bundle may
            have; None for PyTorch bfloat16's own. Wanted is no more than that, and than FAITHFUL.
    """

    calibration: Sequence[Pair] | None = None
    max_delta: float | None = None


@dataclass
class _Oracle:
    """What PyTorch answered, before the model was let go. Log-odds of response_0, [pairs, 2] each."""

    asker: Asker | ScoreAsker
    probes: list[Pair]
    of_probes: np.ndarray[Any, np.dtype[np.float64]]
    judged: list[Pair]  # the fidelity card is made on these
    of_judged: np.ndarray[Any, np.dtype[np.float64]]
    in_bfloat16: np.ndarray[Any, np.dtype[np.float64]] | None = None
    int8: Int8 | None = None
    calibration: Sequence[Sequence[int]] = ()

    @property
    def ending(self) -> int:
        """How many last tokens all prompts have in common."""
        return common_ending(self.calibration)


def export_bundle(
    source: Source, output: Path, template: Template | ScoreTemplate, *, force: bool, progress: Progress,
    int8: Int8Options | None = None, chat: bool = False,
) -> Path:  # fmt: skip
    """Export ``source`` at fp32, or with ``int8`` products, into the folder ``output``.

    With ``chat`` the template is put into the model's own chat template first. A score template makes a bundle
    for scores, at fp32 only.

    The bundle appears at ``output`` whole and verified, or not at all. The model's weights are
    held once; a second time only while they lie in the page cache on their way to disk, or in
    the session that verifies them, after the model was let go. Int8 adds the rounded weights (a
    quarter) and, in turns, statistics of up to half their size.

    Raises:
        ExportError: unsupported, not loadable, or not faithful to PyTorch.
        TemplateError: the template does not fit the tokenizer.
    """
    if output.exists() and not force:
        raise ExportError(f"{output}: exists already, give --force to replace it or another folder with -o")
    progress(f"reading the configuration of {source.name}", 0)
    config = source.config()
    with _scratch(output) as folder:
        manifest, oracle = _build(source, config, fit(source, template, chat=chat), folder, int8, progress)
        gc.collect()  # the PyTorch model is gone: its memory is free for the session
        _verify(folder, manifest, oracle, int8, progress)
        _publish(folder, output)
    return output


def _build(
    source: Source, config: Any, prompt: FittedPrompt, folder: Path, options: Int8Options | None, progress: Progress
) -> tuple[Manifest, _Oracle]:
    template, prefix_ids, longest = prompt.template, prompt.prefix_ids, prompt.longest
    asker: Asker | ScoreAsker
    if isinstance(template, ScoreTemplate):
        if options is not None:
            raise ExportError(f"template {template.name}: scores are computed at fp32, give --precision fp32")
        asker = ScoreAsker(prompt.tokenizer, template, prompt.label_ids, longest)
    else:
        first, second = prompt.label_ids
        asker = Asker(prompt.tokenizer, template, (first, second), longest)
    Tokenizer.from_str(prompt.tokenizer_json).save(str(folder / TOKENIZER))
    progress(f"loading {source.name}", 0)
    lm = source.model()
    oracle = _ask(lm, asker, options, progress)
    progress("tracing", 0)
    judge = LabelJudge(lm, asker.label_ids, normalised=isinstance(template, ScoreTemplate)).eval()
    prefix = bake_prefix(judge.base, prefix_ids)
    weights = Weights(judge)

    def choose(graph: ir.Model) -> Int8:
        target = TARGET * _wanted(options, oracle)
        oracle.int8 = quantize(
            graph, judge, weights, oracle.calibration, len(prefix_ids), oracle.ending, target, progress
        )
        return oracle.int8

    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            graph = trace(judge, len(prefix_ids), Path(scratch))
        counts = passes.run(graph, weights, prefix, longest, choose if options else None, oracle.ending)
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
        label_ids=asker.label_ids,
        precision="int8" if options else "fp32",
        prefix_ids=tuple(prefix_ids),
        maximum_length=longest,
        ending=oracle.ending,
        cost=_cost(graph, config),
        passes=counts,
        operators=dict(Counter(f"{n.domain}.{n.op_type}".lstrip(".") for n in graph.graph).most_common()),
        fidelity=fidelity(oracle.of_judged, oracle.of_judged, "nothing yet"),
        bfloat16=None,
        error_bound=None,
        probes=(),
        tools={n: version(n) for n in ("torch", "transformers", "optimum-onnx", "onnx", "onnx-ir", "onnxruntime")}
        | {"rlaif-fast": __version__},
    )
    _write(graph, folder, progress)
    return manifest, oracle


def _ask(lm: Any, asker: Asker | ScoreAsker, options: Int8Options | None, progress: Progress) -> _Oracle:
    def ask(model: Any, pairs: Sequence[Pair], what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return asker.ask(model, pairs, lambda done: progress(f"asking {what} for its answers", done))

    probes = asker.fitting(shipped_pairs("probes"))
    of_probes = ask(lm, probes, "PyTorch")
    if options is None:
        return _Oracle(asker, probes, of_probes, probes, of_probes)
    judged = asker.fitting(shipped_pairs("heldout"))
    found = _Oracle(asker, probes, of_probes, judged, ask(lm, judged, "PyTorch"))
    found.in_bfloat16 = ask(in_bfloat16(lm), judged, "PyTorch in bfloat16")
    texts = asker.fitting(shipped_pairs("calibration") if options.calibration is None else options.calibration)
    found.calibration = [asker.prompts(pair)[number % 2] for number, pair in enumerate(texts)]  # the orders in turn
    return found


def _limit(options: Int8Options | None, oracle: _Oracle) -> float:
    """The largest mean error the bundle may have."""
    if options is not None and options.max_delta is not None:
        return options.max_delta
    if oracle.in_bfloat16 is None:
        return TOLERANCE
    return fidelity(oracle.in_bfloat16, oracle.of_judged, "").mean


def _wanted(options: Int8Options | None, oracle: _Oracle) -> float:
    """The mean error to aim at: that limit, unless nobody named it and FAITHFUL is less."""
    limit = _limit(options, oracle)
    return limit if options is not None and options.max_delta is not None else min(FAITHFUL, limit)


def _cost(graph: ir.Model, config: Any) -> Cost:
    """Of the graph's full layers: what only judged rows pass through counts too, slightly; the label head does not."""
    kinds = ("MatMul", "MatMulIntegerToFloat")
    products = [n.inputs[1] for n in graph.graph if n.op_type in kinds and n.inputs[1].is_initializer()]
    products = [weight for weight in products if not weight.name.startswith("label_head.")]
    linear = sum(math.prod(dims(weight)) for weight in dict.fromkeys(products))  # endings share their rows' weights
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


def _verify(folder: Path, manifest: Manifest, oracle: _Oracle, options: Int8Options | None, progress: Progress) -> None:
    """Judge with the bundle as a user would, and complete the manifest with what was found."""
    draft = replace(manifest, files={name: entry(folder / name) for name in FILES})
    write_manifest(folder, draft)
    if oracle.int8 is not None:
        shift_out(folder / MODEL, _shift(Judge(Bundle(folder)), oracle, progress))
        draft = replace(draft, files={name: entry(folder / name) for name in FILES})
        write_manifest(folder, draft)
    judge = Judge(Bundle(folder)) if isinstance(manifest.template, Template) else Rater(Bundle(folder))

    def answers(pairs: Sequence[Pair]) -> np.ndarray[Any, np.dtype[np.float64]]:
        found = []
        for number, pair in enumerate(pairs):
            progress("verifying against PyTorch", number / len(pairs))
            found.append(judge.answer(pair))
        return np.array(found)

    of_probes = answers(oracle.probes)
    probes = tuple(
        Probe(p.instruction, p.response_0, p.response_1, (float(r[0]), float(r[1])), (float(d[0]), float(d[1])))
        for p, r, d in zip(oracle.probes, oracle.of_probes, of_probes, strict=True)
    )
    if oracle.int8 is None:
        prompts, unit, sides = f"{len(probes)} probe pairs in both orders", "log-odds", [1, 1]
        if isinstance(manifest.template, ScoreTemplate):  # a label flips where the other response scores higher
            prompts, unit, sides = f"both responses of {len(probes)} probe pairs", "score", [1, -1]
        found = fidelity(of_probes * sides, oracle.of_probes * sides, prompts)
        require_exact(found, manifest.model.id, unit)
        final = replace(draft, fidelity=found, probes=probes)
    else:
        prompts = f"{len(oracle.judged)} held-out pairs in both orders"
        of_judged = answers(oracle.judged)
        found = fidelity(of_judged, oracle.of_judged, prompts)
        require_faithful(found, _limit(options, oracle), oracle.int8.mix.worst, manifest.model.id)
        beside = fidelity(oracle.in_bfloat16, oracle.of_judged, prompts)
        bound = error_bound(
            np.concatenate((of_judged, of_probes)), np.concatenate((oracle.of_judged, oracle.of_probes))
        )
        final = replace(draft, fidelity=found, bfloat16=beside, error_bound=bound, probes=probes)
    write_manifest(folder, final)


def _shift(judge: Judge, oracle: _Oracle, progress: Progress) -> float:
    """What the int8 graph adds to log(p1/p2) on average, on the calibration prompts."""
    assert oracle.int8 is not None
    differences = []
    for number, (prompt, exact) in enumerate(zip(oracle.calibration, oracle.int8.log_odds, strict=True)):
        progress("measuring the constant shift", number / len(oracle.calibration))
        differences.append(judge.log_odds_of([prompt])[0] - exact)
    return float(np.mean(differences))


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
