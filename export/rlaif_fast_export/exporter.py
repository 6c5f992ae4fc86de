"""The export, from MODEL to a bundle: load, ask the reference, trace, pass, write, verify, publish."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from tokenizers import Tokenizer

from rlaif_fast.bundle.folder import Bundle, entry, write_manifest
from rlaif_fast.bundle.manifest import FILES, HEADS, MODEL, TOKENIZER, WEIGHTS, Manifest
from rlaif_fast.bundle.prompt import PROMPTS, BundlePrompt
from rlaif_fast.errors import ExportError, TemplateError
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.selftest import FAITHFUL
from rlaif_fast_export.adding import AskedPrompt, ask_through, put_all
from rlaif_fast_export.graph.prefix import as_cache, bake_prefix
from rlaif_fast_export.graph.trace import TreeDecoder, trace
from rlaif_fast_export.graph.weights import UnsupportedModule, Weights
from rlaif_fast_export.int8.calibration import WEIGHED, Texts
from rlaif_fast_export.int8.gradients import Behind, gradients_behind
from rlaif_fast_export.int8.mix import Mix
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.own_tensors import own_tensors
from rlaif_fast_export.int8.quantize import Calibrated, Int8, calibrate
from rlaif_fast_export.int8.spool import Spooled
from rlaif_fast_export.int8.steadiness import PromptAnswers
from rlaif_fast_export.int8.work import Work, was_left
from rlaif_fast_export.passes import pipeline as passes
from rlaif_fast_export.prompts.fitted import FittedPrompt, Fitter
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt
from rlaif_fast_export.reference.oracle import Oracle, ask, ask_for_int8
from rlaif_fast_export.reference.pytorch import Asker, asker_of, fitting
from rlaif_fast_export.reference.texts import LARGE, shipped_pairs
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.draft import draft, draft_prompt, tools
from rlaif_fast_export.writing.graph_file import write_graph
from rlaif_fast_export.writing.head import has_tied_head, softcap_of, write_head
from rlaif_fast_export.writing.prompt_file import PromptArrays, entry_of, write_prompt
from rlaif_fast_export.writing.publication import publish, scratch
from rlaif_fast_export.writing.verification import verify

Progress = Callable[[str, float], None]  # (what is being done, share of it done in [0, 1])
AnyTemplate = Template | ScoreTemplate
# Probe pairs, the shortest, that other prompts than the first are verified on: at fp32 the graph is verified with the
# first one, and there are keys, values and label rows to prove. At int8 each has an error of its own:
# more pairs for what was asked for, fewer for what comes along, and for scores (docs/performance.md).
FEW_EXACT, FEW, _OF_NEEDED, _OF_SCORES = 1, 5, 7, 3
# What the mix is chosen for, as a share of the largest mean error: the expectation is made on the texts that the
# weights were fitted to, and comes out a third too low on others (docs/performance.md).
TARGET = 0.6
# And the share of it that two kinds of processors may differ by: 0.009 with 0.03; the self-test allows 0.015.
STEADY = 0.3
# The first mix is chosen for less: measured on a few prompts, it comes out a quarter above or below what is expected,
# and a second mix costs a seventh of the export.
_STEADIER = 0.75
# What the finished graph may have of both before it is verified. Where it has more, because the expectation's first
# order was not enough, a more precise mix is taken: so many at most.
_MEASURED, _MIXES = 0.8, 6
_CLOSER = 0.97  # a step beyond what is missing: a larger one buys precision that costs time and nobody asked for
_REPORT = "; please report the model, with what --debug shows"
_WORK, _ASKED = "work", "asked"  # what an int8 export has done so far: a folder, and a part of it
_FORM = 3  # of what lies in the folder: another number where a version keeps something else, or other rows of it


def export_bundle(
    source: Source, output: Path, template: AnyTemplate, *, force: bool, progress: Progress,
    more: Sequence[AnyTemplate] = (), along: Sequence[AnyTemplate] = (), int8: Int8Options | None = None,
    chat: bool = False, say: Callable[[str], None] = lambda _: None,
) -> Path:  # fmt: skip
    """Export ``source`` at fp32, or with ``int8`` products, into the folder ``output``.

    Args:
        template: of the first prompt, for which int8 is fitted; one for pairs, or at fp32 one for scores.
        more: templates of further prompts.
        along: of some that come along where they can: the bundle is faithful through them, and they cost little.
        chat: put templates for pairs into the model's own chat template first.
        say: is told what did not come along, and why.

    The bundle appears at ``output`` whole and verified, or not at all. Of a model in safetensors files one block is
    held in float32 at a time; an int8 export that was killed is taken up behind its last finished block.

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
    with refused(f"{source.name}: cannot be exported", _REPORT, passing=OSError):  # a full disk says so itself
        fitter = Fitter(source)
        prompt, *others = _fitted(fitter, [template, *more], chat)
        needed = [one.template.name for one in others]
        others += _fitted(fitter, along, chat, say)
        state = source.state()
        key = _key(state, [prompt, *others], int8)

        def work_of(left: Path) -> Path | None:
            return left / _WORK if int8 is not None and was_left(left / _WORK, key) else None

        with scratch(output, work_of) as folder:
            build = _Build(source, prompt, others, needed, folder, int8, progress, say, key)
            build.run()
            build.let_go()
            ask = verify(folder, build, progress)
            limit = FAITHFUL if int8 is None else int8.max_delta
            put_all(folder, build.asked, ask, limit, needed, progress, say)
            del ask
            if source.state() != state:
                raise ExportError(f"{source.name}: its files changed while it was exported; export it again")
            publish(folder, output)
    return output


def _fitted(
    fitter: Fitter, templates: Sequence[AnyTemplate], chat: bool, say: Callable[[str], None] | None = None
) -> list[FittedPrompt]:
    """The templates fitted to the model; with ``say`` those that do not fit are left out, and it is told why."""
    found = []
    for template in templates:
        try:
            found.append(fitter.fit(template, chat=chat and isinstance(template, Template)))
        except (ExportError, TemplateError) as error:
            if say is None:
                raise
            say(f"the prompt {template.name} is left out: {error}")
    return found


def _key(files: list[Any], prompts: Sequence[FittedPrompt], int8: Int8Options | None) -> str:
    """What tells an export from others: one that was killed is gone on with where all of it is the same."""
    own = int8.calibration if int8 is not None else None
    texts = None if own is None else [[p.instruction, p.response_0, p.response_1] for p in own]
    fast = None if int8 is None else int8.fast
    asked = [[repr(prompt.template), prompt.prefix_ids, prompt.label_ids] for prompt in prompts]
    state = [_FORM, files, asked, texts, fast, tools()]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


class _Build:
    """From a source to a bundle on disk that is not verified yet.

    Attributes:
        manifest: the bundle's, but for what the verification finds.
        arrays: what the graph is fed for the first prompt.
        oracle: PyTorch's answers, through it.
        asked: the other prompts.
        worst: int8 groups by the error they are expected to add, the largest first.
        moved: mean |difference| in log-odds that another processor's last bits make of an int8 bundle's answers.
    """

    manifest: Manifest
    arrays: PromptArrays
    oracle: Oracle
    asked: Sequence[AskedPrompt]
    worst: Sequence[str] = ()
    moved: float = 0.0

    def __init__(
        self, source: Source, prompt: FittedPrompt, others: Sequence[FittedPrompt], needed: Sequence[str],
        folder: Path, int8: Int8Options | None, progress: Progress, say: Callable[[str], None], key: str,
    ) -> None:  # fmt: skip
        self.int8 = int8
        self._key = key
        self._source, self._prompt, self._others, self._needed = source, prompt, others, needed
        self._folder = folder
        self._progress, self._say = progress, say
        self._calibrated: Calibrated | None = None
        self._behind: Behind | None = None
        self._inputs: dict[tuple[int, Prompt], Spooled] = {}

    def run(self) -> None:
        """Raises ExportError."""
        prompt = self._prompt
        asker = asker_of(prompt.tokenizer, prompt.template, prompt.label_ids, prompt.longest)
        if isinstance(prompt.template, ScoreTemplate) and self.int8 is not None:
            raise ExportError(
                f"template {prompt.template.name}: int8 is fitted to a prompt for pairs; name one first, or give"
                " --precision fp32"
            )
        Tokenizer.from_str(prompt.tokenizer_json).save(str(self._folder / TOKENIZER))
        self._progress(f"loading {self._source.name}", 0)
        lm, self._mapped = self._source.stored_model()
        self._model = Blockwise(lm, self._mapped)
        self._decoder = TreeDecoder(lm).eval()
        self._prefix = bake_prefix(self._model, prompt.prefix_ids)
        self.arrays = PromptArrays.of(lm, prompt.label_ids, self._prefix)
        self._ask_through_others(lm)
        if self.int8 is None:
            self.oracle = ask(self._model, asker, self._progress)
            self._make(0.0, 0.0)
        else:
            assert isinstance(asker, Asker)
            self._work = Work(self._folder / _WORK, self._key)
            self._ask_for_int8(asker)
            self._choose_mix(self.int8.max_delta)
            self._work.remove()
        if any(isinstance(one.template, ScoreTemplate) for one in (prompt, *self._others)):
            write_head(lm, self._folder, softcap_of(lm))

    def _ask_through_others(self, lm: Any) -> None:
        """Prompts that nobody named come along where they cost little.

        Of a large model each takes minutes; one for scores needs the head, which is in the bundle only where it is the
        embedding.
        """
        along = [one for one in self._others if one.template.name not in self._needed]
        scores = [one for one in along if isinstance(one.template, ScoreTemplate)]
        left_out = along if self._model.parameters >= LARGE else [] if has_tied_head(lm) else scores
        if left_out:
            names = ", ".join(one.template.name for one in left_out)
            self._say(f"left out: {names}; they would cost much with this model (rlaif-fast prompt add adds one)")
        self._others = [one for one in self._others if one not in left_out]
        pairs = shipped_pairs("probes", self._model.parameters)
        shortest = sorted(pairs, key=lambda p: len(p.instruction + p.response_0 + p.response_1))

        def few(one: FittedPrompt) -> list[Pair]:
            if self.int8 is None:
                return shortest[:FEW_EXACT]
            if isinstance(one.template, ScoreTemplate):
                return shortest[:_OF_SCORES]
            return shortest[: _OF_NEEDED if one.template.name in self._needed else FEW]

        self._others = [one for one in self._others if self._holds(one, few(one))]
        self.asked = ask_through(self._model, self._others, [few(one) for one in self._others], self._progress)

    def _holds(self, one: FittedPrompt, pairs: Sequence[Pair]) -> bool:
        """Whether the model's context holds a pair in that prompt. Raises ExportError where it must."""
        try:
            fitting(asker_of(one.tokenizer, one.template, one.label_ids, one.longest), pairs)
            return True
        except ExportError as error:
            if one.template.name in self._needed:
                raise
            self._say(f"the prompt {one.template.name} is left out: {error}")
            return False

    def _ask_for_int8(self, asker: Asker) -> None:
        """Find PyTorch's answers, what the blocks are fed, and the gradients behind them; or take up what was found."""
        assert self.int8 is not None
        pairs = self.int8.calibration
        if pairs is None:
            pairs = shipped_pairs("calibration", self._model.parameters)
        others = [one for one in self.asked if isinstance(one.asker, Asker)]
        askers = [asker, *(one.asker for one in others if isinstance(one.asker, Asker))]
        prefixes = [self._prefix, *(one.arrays.prefix for one in others)]

        def keep(block: int, prompt: Prompt, which: int) -> None:
            baked = prefixes[which][0].key.shape[2]
            self._inputs[block, prompt] = self._work.spool.put(prompt.hidden[:, baked:])

        found = self._work.load(_ASKED)
        known = None if found is None else (found["answers"].numpy(), found["in_bfloat16"].numpy())
        rough = Blockwise(self._model.lm, self._mapped, torch.bfloat16)
        oracle = self.oracle = ask_for_int8(self._model, rough, askers, pairs, keep, self._progress, known)
        prompts = self._texts.all
        for which, prefix in enumerate(prefixes):
            asked = [prompt for prompt in prompts if oracle.through.get(prompt, 0) == which]
            self._model.cut(asked, as_cache(prefix))
        if found is not None:
            self._inputs = {(b, prompts[n]): self._work.spool.at(*numbers) for b, n, numbers in found["inputs"]}
            log_odds, gradients = (dict(zip(prompts, found[what], strict=True)) for what in ("log_odds", "gradients"))
            self._behind = Behind(log_odds, gradients)
            return
        self._behind = gradients_behind(
            self._model, prompts, lambda prompt, logits: askers[oracle.through.get(prompt, 0)].log_odds(logits)
        )
        self._work.save(_ASKED, {
            "answers": torch.from_numpy(np.concatenate((oracle.of_probes, oracle.of_judged))),
            "in_bfloat16": torch.from_numpy(oracle.in_bfloat16),
            "inputs": [[b, prompts.index(prompt), at.numbers] for (b, prompt), at in self._inputs.items()],
            "log_odds": [self._behind.log_odds[prompt] for prompt in prompts],
            "gradients": [self._behind.gradients[prompt] for prompt in prompts],
        })  # fmt: skip

    def let_go(self) -> None:
        """Of all that the verification does not need: the model above all."""
        del self._model, self._decoder, self._prefix, self._mapped
        self._calibrated = self._behind = None
        self._inputs = {}
        self.oracle.fitted, self.oracle.others, self.oracle.through = (), (), {}
        gc.collect()

    @property
    def _texts(self) -> Texts:
        fitted = self.oracle.fitted
        weighed = fitted[: min(WEIGHED, (len(fitted) + 1) // 2)]
        return Texts(fitted, [*weighed, *self.oracle.others], self.oracle.ending)

    def _choose_mix(self, limit: float) -> None:
        """Write the graph with the cheapest mix that keeps ``limit``, as far as any does."""
        target, steady, before = TARGET * limit, _STEADIER * STEADY * limit, None
        for _ in range(_MIXES):
            mix = self._make(target, steady)
            error, self.moved = self._centre()
            too_far, too_unsteady = error > _MEASURED * limit, self.moved > STEADY * limit
            self.worst, same, before = mix.worst, mix.kinds == before, mix.kinds
            fixed = self.int8 is not None and self.int8.fast
            if same or fixed or not (too_far or too_unsteady):  # the same again: as precise as int8 gets
                break
            if too_far:
                target = _CLOSER * mix.expected * _MEASURED * limit / error
            if too_unsteady:
                steady = _CLOSER * mix.unsteady * STEADY * limit / self.moved
            gc.collect()  # the session over the graph that is written anew

    def _make(self, target: float, steady: float) -> Mix:
        """Write graph, weights and a draft of the manifest; int8 with the mix for ``target`` and ``steady``."""
        self._progress("tracing", 0)
        weights, chosen = Weights(self._decoder), Mix({}, 0.0, 0.0, ())

        def choose(graph: ir.Model) -> Int8:
            nonlocal chosen
            if self._calibrated is None:
                gradients = None if self.int8 and self.int8.fast else self._behind.gradients
                self._calibrated = calibrate(
                    graph, self._model, weights, self._texts, self._inputs, gradients, self._work,
                    lambda done: self._progress("calibrating int8, block by block", done),
                )  # fmt: skip
            found = self._calibrated.choose(graph, target, steady)
            chosen = found.mix
            return found

        try:
            with tempfile.TemporaryDirectory(dir=self._folder) as scratch_folder:
                graph = trace(self._decoder, Path(scratch_folder))
            longest, lm = self._prompt.longest, self._model.lm
            counts = passes.run(
                graph, weights, self._prefix, longest, lm.config.hidden_size, choose if self.int8 else None,
                softcap_of(lm),
            )  # fmt: skip
        except (passes.PassError, UnsupportedModule) as error:
            raise ExportError(f"{self._source.name}: {error}; please report the model") from error

        def writing(done: float) -> None:
            self._mapped.let_go()
            self._progress("writing the weights", done)

        write_graph(graph, self._folder, writing)
        if self.int8 is not None:
            counts["own_tensors"] = own_tensors(self._folder / MODEL)
            counts["rounded_to_nearest"] = counts["own_tensors"] if self.int8.fast else 0
        self.arrays = replace(self.arrays, ending=self.oracle.ending if self.int8 else None, shift=0.0)
        self.manifest = draft(
            graph, counts, self._source, self._write_prompt(), longest,
            precision="int8" if self.int8 else "fp32", parameters=self._model.parameters,
        )  # fmt: skip
        return chosen

    def _write_prompt(self) -> BundlePrompt:
        """The first prompt's file; its part of the manifest, as far as it is known."""
        shutil.rmtree(self._folder / PROMPTS, ignore_errors=True)
        content = self.arrays.content(half=self.int8 is not None)
        drafted = draft_prompt(self._prompt, self.arrays.ending, entry_of(content), self.oracle.bfloat16)
        write_prompt(self._folder, drafted, content)
        return drafted

    def list_files(self) -> None:
        """Have the manifest name the files as they are, and write it."""
        known = {WEIGHTS: self.manifest.files[WEIGHTS]} if WEIGHTS in self.manifest.files else {}  # written once
        there = [name for name in (*FILES, *HEADS) if (self._folder / name).exists()]
        files = {name: known.get(name) or entry(self._folder / name) for name in there}
        self.manifest = replace(self.manifest, files=files)
        write_manifest(self._folder, self.manifest)

    def _centre(self) -> tuple[float, float]:
        """Take the constant shift out of the int8 bundle; the mean |error| it then has, and how steady it is.

        Shift and error are those on the probes and on some calibration prompts; the error is that of the worse half,
        since nothing was fitted to the probes. Steady means: how far the answers move, on average, where the last bits
        of float32 sums differ.
        """
        self.list_files()
        probes, fitted = [self.oracle.asker.prompts(pair) for pair in self.oracle.probes], self.oracle.of_first
        fitted = fitted[: min(WEIGHED, (len(self.oracle.fitted) + 1) // 2)]
        answers = PromptAnswers(
            Bundle(self._folder), [*probes, *([prompt.ids] for prompt in fitted)],
            lambda done: self._progress("measuring the constant shift", done),
        )  # fmt: skip
        of_probes = (self.oracle.of_probes * [1, -1]).ravel()
        errors = answers.log_odds - [*of_probes, *(self._behind.log_odds[prompt] for prompt in fitted)]
        shift = float(errors.mean())
        error = max(float(np.abs(part - shift).mean()) for part in np.split(errors, [len(of_probes)]))
        self.arrays = self.arrays.shifted(shift)
        self.manifest = replace(self.manifest, prompts=(self._write_prompt(),))
        moved = answers.unsteadiness(
            len(probes), lambda done: self._progress("measuring what other processors make of it", done)
        )
        return error, moved
