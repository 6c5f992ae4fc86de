"""The export, from MODEL to a bundle: load, ask the reference, trace, pass, write, verify, publish."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from tokenizers import Tokenizer

from rlaif_fast.bundle.folder import Bundle, entry, write_manifest
from rlaif_fast.bundle.manifest import FILES, MODEL, TOKENIZER, WEIGHTS, Manifest, Probe
from rlaif_fast.errors import ExportError
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.selftest import FAITHFUL
from rlaif_fast_export.graph.prefix import LayerPrefix, bake_prefix
from rlaif_fast_export.graph.trace import LabelJudge, trace
from rlaif_fast_export.graph.weights import UnsupportedModule, Weights
from rlaif_fast_export.int8.mix import Mix
from rlaif_fast_export.int8.offset import shift_out
from rlaif_fast_export.int8.own_tensors import own_tensors
from rlaif_fast_export.int8.quantize import Calibrated, Int8, calibrate
from rlaif_fast_export.int8.steadiness import PromptAnswers
from rlaif_fast_export.passes import pipeline as passes
from rlaif_fast_export.prompts.fitted import FittedPrompt, fit
from rlaif_fast_export.reference.oracle import Answers, Oracle, ask, ask_for_int8
from rlaif_fast_export.reference.pytorch import Asker, ScoreAsker
from rlaif_fast_export.reference.verify import error_bound, fidelity, require_exact, require_faithful, require_steady
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.draft import draft
from rlaif_fast_export.writing.publication import publish, scratch

Progress = Callable[[str, float], None]  # (what is being done, share of it done in [0, 1])
# What the mix is chosen for, as a share of the largest mean error: the expectation is made on the texts that the
# weights were fitted to, and comes out a third too low on others (docs/performance.md).
TARGET = 0.6
# And the share of it that two kinds of processors may differ by: 0.009 with 0.03; the self-test allows 0.015.
STEADY = 0.3
# What the finished graph may have of both before it is verified. Where it has more, because the expectation's first
# order was not enough, a more precise mix is taken: so many at most.
_MEASURED, _MIXES = 0.8, 6
_CLOSER = 0.97  # a step beyond what is missing: a larger one buys precision that costs time and nobody asked for
_REPORT = "; please report the model, with what --debug shows"
_PAGE = 4096  # bytes; tensors start on a page, so the runtime maps them as they lie


@dataclass(frozen=True)
class Int8Options:
    """How an int8 bundle is made.

    Attributes:
        calibration: pairs the ranges and the rounding are fitted to; None for the project's own.
        max_delta: largest mean |difference in log-odds| to PyTorch fp32 on the held-out pairs that a bundle may have.
    """

    calibration: Sequence[Pair] | None = None
    max_delta: float = FAITHFUL


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
    quarter) and, in turns, statistics of up to half their size, or a session over the int8 graph.

    Raises:
        FidelityError: not faithful to PyTorch.
        ExportError: unsupported, or not loadable.
        TemplateError: the template does not fit the tokenizer.
    """
    if output.exists() and not force:
        raise ExportError(f"{output}: exists already, give --force to replace it or another folder with -o")
    progress(f"reading the configuration of {source.name}", 0)
    with refused(f"{source.name}: its configuration cannot be used"):
        source.config()  # what cannot be exported is said before anything else
    with (
        refused(f"{source.name}: cannot be exported", _REPORT, passing=OSError),  # a full disk says so itself
        scratch(output) as folder,
    ):
        build = _Build(source, fit(source, template, chat=chat), folder, int8, progress)
        build.run()
        gc.collect()  # the PyTorch model is gone: its memory is free for the session
        _verify(folder, build, progress)
        publish(folder, output)
    return output


class _Build:
    """From a source to a bundle on disk that is not verified yet.

    Attributes:
        manifest: the bundle's, but for what :func:`_verify` finds.
        oracle: PyTorch's answers.
        worst: int8 groups by the error they are expected to add, the largest first.
        moved: mean |difference| in log-odds that another processor's last bits make of an int8 bundle's answers.
    """

    manifest: Manifest
    oracle: Oracle
    worst: Sequence[str] = ()
    moved: float = 0.0

    def __init__(
        self, source: Source, prompt: FittedPrompt, folder: Path, int8: Int8Options | None, progress: Progress
    ) -> None:
        self.int8 = int8
        self._source, self._prompt, self._folder = source, prompt, folder
        self._progress = progress
        self._calibrated: Calibrated | None = None

    def run(self) -> None:
        """Raises ExportError."""
        template, labels, longest = self._prompt.template, self._prompt.label_ids, self._prompt.longest
        asker: Asker | ScoreAsker
        if isinstance(template, ScoreTemplate):
            if self.int8 is not None:
                raise ExportError(f"template {template.name}: scores are computed at fp32, give --precision fp32")
            asker = ScoreAsker(self._prompt.tokenizer, template, labels, longest)
        else:
            asker = Asker(self._prompt.tokenizer, template, (labels[0], labels[1]), longest)
        Tokenizer.from_str(self._prompt.tokenizer_json).save(str(self._folder / TOKENIZER))
        self._progress(f"loading {self._source.name}", 0)
        lm = self._source.model()
        if self.int8 is None:
            self.oracle = ask(lm, asker, self._progress)
        else:
            assert isinstance(asker, Asker)
            self.oracle = ask_for_int8(lm, asker, self.int8.calibration, self._progress)
        self._parameters = sum(p.numel() for p in lm.parameters())
        judge = LabelJudge(lm, labels, normalised=isinstance(template, ScoreTemplate)).eval()
        prefix = bake_prefix(judge.base, self._prompt.prefix_ids)
        if self.int8 is None:
            self._make(judge, prefix, 0.0, 0.0)
            return
        limit = self.int8.max_delta
        target, steady, before = TARGET * limit, STEADY * limit, None
        for _ in range(_MIXES):
            mix = self._make(judge, prefix, target, steady)
            error, self.moved = self._centre()
            too_far, too_unsteady = error > _MEASURED * limit, self.moved > STEADY * limit
            self.worst, same, before = mix.worst, mix.kinds == before, mix.kinds
            if same or not (too_far or too_unsteady):  # the same again: as precise as int8 gets
                break
            if too_far:
                target = _CLOSER * mix.expected * _MEASURED * limit / error
            if too_unsteady:
                steady = _CLOSER * mix.unsteady * STEADY * limit / self.moved
            gc.collect()  # the session over the graph that is written anew
        self._calibrated = None  # the verification needs the memory

    def _make(self, judge: LabelJudge, prefix: Sequence[LayerPrefix], target: float, steady: float) -> Mix:
        """Write graph, weights and a draft of the manifest; int8 with the mix for ``target`` and ``steady``."""
        self._progress("tracing", 0)
        weights, baked, chosen = Weights(judge), len(self._prompt.prefix_ids), Mix({}, 0.0, 0.0, ())

        def choose(graph: ir.Model) -> Int8:
            nonlocal chosen
            if self._calibrated is None:
                asked = self.oracle
                self._calibrated = calibrate(
                    graph, judge, weights, asked.calibration, asked.probe_prompts, baked, asked.ending, self._progress
                )
            found = self._calibrated.choose(graph, target, steady)
            chosen = found.mix
            return found

        try:
            with tempfile.TemporaryDirectory(dir=self._folder) as scratch_folder:
                graph = trace(judge, baked, Path(scratch_folder))
            ending, longest = self.oracle.ending, self._prompt.longest
            counts = passes.run(graph, weights, prefix, longest, choose if self.int8 else None, ending)
        except (passes.PassError, UnsupportedModule) as error:
            raise ExportError(f"{self._source.name}: {error}; please report the model") from error
        _write(graph, self._folder, self._progress)
        if self.int8 is not None:
            counts["own_tensors"] = own_tensors(self._folder / MODEL)
        self.manifest = draft(
            graph, counts, self._source, self._prompt, self.oracle,
            precision="int8" if self.int8 else "fp32", parameters=self._parameters,
        )  # fmt: skip
        self._list_files()
        return chosen

    def _list_files(self) -> None:
        self.manifest = replace(self.manifest, files={name: entry(self._folder / name) for name in FILES})
        write_manifest(self._folder, self.manifest)

    def _centre(self) -> tuple[float, float]:
        """Take the constant shift out of the int8 graph; the mean |error| it then has, and how steady it is.

        The error is that on the calibration prompts, or on the probes where that is more: nothing was fitted to those.
        Steady means: how far the answers move, on average, where the last bits of float32 sums differ.
        """
        assert self._calibrated is not None
        probes = self.oracle.probe_prompts
        answers = PromptAnswers(
            Bundle(self._folder), [*probes, *self.oracle.calibration],
            lambda done: self._progress("measuring the constant shift", done),
        )  # fmt: skip
        errors = answers.log_odds - [*(self.oracle.of_probes * [1, -1]).ravel(), *self._calibrated.log_odds]
        shift = float(errors[len(probes) :].mean())
        error = max(float(np.abs(part - shift).mean()) for part in (errors[: len(probes)], errors[len(probes) :]))
        shift_out(self._folder / MODEL, shift)
        self._list_files()
        return error, answers.unsteadiness(
            lambda done: self._progress("measuring what other processors make of it", done)
        )


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


def _verify(folder: Path, build: _Build, progress: Progress) -> None:
    """Judge with the bundle as a user would, and complete the manifest with what was found."""
    manifest, oracle = build.manifest, build.oracle
    judge = Judge(Bundle(folder)) if isinstance(manifest.template, Template) else Rater(Bundle(folder))

    def answers(pairs: Sequence[Pair]) -> Answers:
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
    if build.int8 is None:
        prompts, unit, sides = f"{len(probes)} probe pairs in both orders", "log-odds", [1, 1]
        if isinstance(manifest.template, ScoreTemplate):  # a label flips where the other response scores higher
            prompts, unit, sides = f"both responses of {len(probes)} probe pairs", "score", [1, -1]
        found = fidelity(of_probes * sides, oracle.of_probes * sides, prompts)
        require_exact(found, manifest.model.id, unit)
        final = replace(manifest, fidelity=found, probes=probes)
    else:
        prompts = f"{len(oracle.judged)} held-out pairs in both orders"
        of_judged = answers(oracle.judged)
        found = fidelity(of_judged, oracle.of_judged, prompts)
        require_faithful(found, build.int8.max_delta, build.worst, manifest.model.id)
        require_steady(build.moved, found, manifest.model.id)
        bound = error_bound(
            np.concatenate((of_judged, of_probes)), np.concatenate((oracle.of_judged, oracle.of_probes))
        )
        final = replace(manifest, fidelity=found, error_bound=bound, probes=probes)
    write_manifest(folder, final)
