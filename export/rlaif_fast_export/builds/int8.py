"""A bundle with int8 products: fitted to texts, measured, and made again more precisely where that is not enough."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import MODEL
from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template
from rlaif_fast_export.builds.base import Build, Progress
from rlaif_fast_export.graph.prefix import as_cache
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.calibration import WEIGHED, Texts
from rlaif_fast_export.int8.gradients import Behind, gradients_behind
from rlaif_fast_export.int8.mix import Mix
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.own_tensors import own_tensors
from rlaif_fast_export.int8.quantize import Calibrated, Int8, calibrate
from rlaif_fast_export.int8.spool import Spooled
from rlaif_fast_export.int8.steadiness import PromptAnswers
from rlaif_fast_export.int8.work import Work
from rlaif_fast_export.prompts.fitted import FittedPrompt
from rlaif_fast_export.reference.blockwise import Blockwise, Prompt
from rlaif_fast_export.reference.oracle import ask_for_int8
from rlaif_fast_export.reference.pytorch import AnyAsker, Asker, RewardAsker, ScoreAsker
from rlaif_fast_export.reference.texts import shipped_pairs
from rlaif_fast_export.sources.source import Source

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
WORK, _ASKED = "work", "asked"  # what an int8 export has done so far: a folder, and a part of it


class Int8Build(Build):
    """See :class:`Build`."""

    int8: Int8Options

    def __init__(
        self, source: Source, prompt: FittedPrompt, others: Sequence[FittedPrompt], needed: Sequence[str],
        folder: Path, progress: Progress, say: Callable[[str], None], int8: Int8Options, key: str,
    ) -> None:  # fmt: skip
        """
        Args:
            key: tells this export from others, where one that was killed is taken up.

        Raises:
            ExportError: the first prompt is one for scores.
        """
        super().__init__(source, prompt, others, needed, folder, progress, say)
        if isinstance(prompt.template, ScoreTemplate):
            raise ExportError(
                f"template {prompt.template.name}: int8 is fitted to a prompt for pairs; name one first, or give"
                " --precision fp32"
            )
        self.int8, self._key = int8, key
        self._calibrated: Calibrated | None = None
        self._behind: Behind | None = None
        self._inputs: dict[tuple[int, Prompt], Spooled] = {}

    def _ask_and_make(self, asker: AnyAsker) -> None:
        assert not isinstance(asker, ScoreAsker)
        self._work = Work(self._folder / WORK, self._key)
        self._ask(asker)
        self._choose_mix(self.int8.max_delta / (math.sqrt(2) if self._of_rewards else 1.0))

    def _ask(self, asker: Asker | RewardAsker) -> None:
        """Find PyTorch's answers, what the blocks are fed, and the gradients behind them; or take up what was found."""
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
            asked = [prompt for prompt in prompts if oracle.turn(prompt) == which]
            self._model.cut(asked, as_cache(prefix))
        if found is not None:
            self._inputs = {(b, prompts[n]): self._work.spool.at(*numbers) for b, n, numbers in found["inputs"]}
            log_odds, gradients = (dict(zip(prompts, found[what], strict=True)) for what in ("log_odds", "gradients"))
            self._behind = Behind(log_odds, gradients)
            return
        self._behind = gradients_behind(
            self._model, prompts, lambda prompt, logits: askers[oracle.turn(prompt)].log_odds(logits)
        )
        self._work.save(_ASKED, {
            "answers": torch.from_numpy(np.concatenate((oracle.of_probes, oracle.of_judged))),
            "in_bfloat16": torch.from_numpy(oracle.in_bfloat16),
            "inputs": [[b, prompts.index(prompt), at.numbers] for (b, prompt), at in self._inputs.items()],
            "log_odds": [self._behind.log_odds[prompt] for prompt in prompts],
            "gradients": [self._behind.gradients[prompt] for prompt in prompts],
        })  # fmt: skip

    def let_go(self) -> None:
        super().let_go()
        self._calibrated = self._behind = None
        self._inputs = {}
        self.oracle.fitted, self.oracle.others, self.oracle.through = (), (), {}
        gc.collect()

    @property
    def _of_rewards(self) -> bool:
        """Whether an answer is a reward: log-odds are the difference of two, whose errors are independent."""
        return isinstance(self._prompt.template, RewardTemplate)

    @property
    def _texts(self) -> Texts:
        fitted = self.oracle.fitted
        weighed = fitted[: min(WEIGHED, (len(fitted) + 1) // 2)]
        return Texts(fitted, [*weighed, *self.oracle.others], self.oracle.ending)

    def _choose_mix(self, limit: float) -> None:
        """Write the graph with the cheapest mix that keeps ``limit``, as far as any does."""
        target, steady, before = TARGET * limit, _STEADIER * STEADY * limit, None
        for _ in range(_MIXES):
            mix = self._make_with(target, steady)
            error, self.moved = self._centre()
            too_far, too_unsteady = error > _MEASURED * limit, self.moved > STEADY * limit
            self.worst, same, before = mix.worst, mix.kinds == before, mix.kinds
            fixed = self.int8.fast
            if same or fixed or not (too_far or too_unsteady):  # the same again: as precise as int8 gets
                break
            if too_far:
                target = _CLOSER * mix.expected * _MEASURED * limit / error
            if too_unsteady:
                steady = _CLOSER * mix.unsteady * STEADY * limit / self.moved
            gc.collect()  # the session over the graph that is written anew

    def _make_with(self, target: float, steady: float) -> Mix:
        """Write graph, weights and a draft of the manifest with the mix for ``target`` and ``steady``."""
        chosen = Mix({}, 0.0, 0.0, ())

        def choose(weights: Weights, graph: ir.Model) -> Int8:
            nonlocal chosen
            if self._calibrated is None:
                gradients = None if self.int8.fast else self._behind.gradients
                self._calibrated = calibrate(
                    graph, self._model, weights, self._texts, self._inputs, gradients, self._work,
                    lambda done: self._progress("calibrating int8, block by block", done),
                )  # fmt: skip
            found = self._calibrated.choose(graph, target, steady)
            chosen = found.mix
            return found

        def counts() -> dict[str, int]:
            own = own_tensors(self._folder / MODEL)
            return {"own_tensors": own, "rounded_to_nearest": own if self.int8.fast else 0}

        self.arrays = replace(self.arrays, ending=self.oracle.ending, shift=0.0)
        self._make(choose, counts)
        return chosen

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
        of_probes = (self.oracle.of_probes[:, :2] * ([1, 1] if self._of_rewards else [1, -1])).ravel()
        errors = answers.log_odds - [*of_probes, *(self._behind.log_odds[prompt] for prompt in fitted)]
        # Of three labels nothing is taken out (docs/templates.md).
        ties = isinstance(self._prompt.template, Template) and self._prompt.template.ties
        shift = 0.0 if ties else float(errors.mean())
        error = max(float(np.abs(part - shift).mean()) for part in np.split(errors, [len(of_probes)]))
        self.arrays = self.arrays.shifted(shift)
        self.manifest = replace(self.manifest, prompts=(self._write_prompt(),))
        moved = answers.unsteadiness(
            len(probes), lambda done: self._progress("measuring what other processors make of it", done)
        )
        return error, moved
