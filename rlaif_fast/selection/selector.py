"""A selection: which prompts are tried on which pairs, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.bundle.hub import published_name
from rlaif_fast.errors import PairError, TemplateError
from rlaif_fast.evaluation.report import Labels
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.few_shot import with_exemplars, worked
from rlaif_fast.prompts.template import Wording
from rlaif_fast.prompts.template_file import read_template, to_toml
from rlaif_fast.reports.console import Steps
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.human_labels import LeftOut
from rlaif_fast.selection import race
from rlaif_fast.selection.choosing import Chosen, choose, require_enough, sample_of_pairs
from rlaif_fast.selection.parts import split
from rlaif_fast.selection.profile import Judging, Profile
from rlaif_fast.selection.readings import Readings
from rlaif_fast.selection.report import Selection
from rlaif_fast.selection.trial import Trial, prompt_name
from rlaif_fast.wording import counted

Chat = Literal["both", "yes", "no"]
_TIMED = 16  # pairs after which it is said how long the reading will take
_READING = "reading pairs"


class Selector:
    """Labelled pairs in their parts, and what is tried on them.

    Attributes:
        left_out: what could not be tried, and why.
    """

    def __init__(
        self, name: str, pairs: Sequence[Pair], labels_left_out: LeftOut, *, shots: Sequence[int] = (),
        shorten: bool = False,
    ) -> None:  # fmt: skip
        """
        Args:
            name: of the pairs' source.
            pairs: each with a label of 0 or 1.
            shots: numbers of examples that the best prompt is tried with.
            shorten: leave away the end of an instruction that is too long.

        Raises EvalError where there are too few pairs.
        """
        self._name, self._pairs, self._shorten, self._labels_left_out = name, pairs, shorten, labels_left_out
        self._sample = sample_of_pairs(pairs)
        self._parts = split([pair.instruction for pair in pairs], max(shots, default=0))
        require_enough(self._sample, self._parts, name)
        self._shots = [count for count in shots if count <= len(self._parts.examples)]
        if (most := max(self._shots, default=0)) < len(self._parts.examples):  # what is not shown is chosen on
            self._parts = split([pair.instruction for pair in pairs], most)
        self.left_out: list[str] = []
        if few := [str(count) for count in shots if count not in self._shots]:
            self.left_out.append(f"left out: {', '.join(few)} examples; there are too few instructions to show so many")

    def run(self, trial: Trial, templates: Sequence[str], chat: Chat, steps: Steps) -> Chosen:
        """Try prompts, decide and test.

        Args:
            templates: built-in names, or files; none for the built-in ones and those that the bundle has.
            chat: whether each is tried in the model's chat template as well, only so, or never.

        Raises PairError where a pair is too long for the prompt that is to be beaten, TemplateError for a file.
        """
        judge = trial.judge_of(trial.current)
        rows = RunInput.of(self._pairs)
        rows.check()
        rows.fit(judge.taken_unread, judge.prompt_tokens, judge.shortened if self._shorten else None)
        wordings = [read_template(one).wording for one in templates] or list(BUILT_IN.values())
        prompts = self._plain(trial, wordings, templates or list(BUILT_IN), chat, steps)
        if not templates:
            prompts = [*trial.there, *prompts]
        prompts = [name for name in dict.fromkeys(prompts) if name != trial.current]

        def with_examples(best: str) -> list[str]:
            steps("making prompts with examples", 0)
            return self._with_examples(trial, wordings, best)

        on, tested = len(self._parts.chosen_on), len(self._parts.tested_on)
        total = race.readings(len(prompts), len(self._shots), on) + on + 2 * tested
        against = f"{counted(len(prompts), 'prompt')} against {trial.current}"
        steps.say(f"{against}: {counted(on, 'pair')} to choose on, {tested} to test on")
        readings = Readings(self._pairs, trial.judge_of, _Progress(steps, total), shorten=self._shorten)
        found = choose(
            self._pairs, self._parts, readings, trial.current, prompts, with_examples, self.left_out.append, self._name
        )
        self.left_out += trial.left_out
        return found

    def report(self, trial: Trial, chosen: Chosen, command: str) -> Selection:
        """What people and programs read of it."""
        judge, on = trial.judge_of(trial.current), self._parts.chosen_on
        of = {"model": judge.manifest.model.id, "precision": judge.manifest.precision, "engine": judge.engine}
        labels = Labels(self._sample.made_by, self._labels_left_out.ties, self._labels_left_out.gaps)
        return Selection(
            self._name, command, of, trial.current, chosen.tried, chosen.best, chosen.tested,
            self._ids(self._parts.examples) if self._shots else [], self._ids(on), self._sample.take(on).groups,
            self.left_out, labels,
        )  # fmt: skip

    def profile(self, trial: Trial, chosen: Chosen, bundle: str | None, command: str) -> Profile:
        """The best one, for later runs; ``bundle`` is what was given: a folder, a name, or nothing."""
        assert chosen.best is not None and chosen.tested is not None
        bundle = bundle or DEFAULT_MODEL
        bundle = str(Path(bundle).resolve()) if Path(bundle).exists() else published_name(trial.folder) or bundle
        judge = trial.judge_of(chosen.best.prompt)
        selected = {
            "source": self._name, "command": command, "against": trial.current,
            "tested_on": chosen.tested.pairs, "accuracy": float(chosen.tested.sample.right.mean()),
            "difference": chosen.tested.difference, "interval": chosen.tested.interval,
        }  # fmt: skip
        of = Judging(bundle, judge.manifest.precision, judge.digest)
        return Profile(of, chosen.best.prompt, chosen.best.orders, chosen.calibration, selected)

    def _ids(self, places: Any) -> list[Any]:
        return [self._pairs[place].id for place in places]

    def _plain(
        self, trial: Trial, wordings: Sequence[Wording], templates: Sequence[str], chat: Chat, steps: Steps
    ) -> list[str]:
        """Names of the prompts without examples of these rows; those that the bundle lacks are made, where they can."""
        found: list[str] = []
        for in_chat in (False, True):
            if chat in ("both", "yes" if in_chat else "no"):
                names = [prompt_name(one, in_chat) for one in wordings]
                missing = {  # two files may hold the same template
                    name: file for name, file in zip(names, templates, strict=True) if name not in trial.there
                }
                steps("making prompts", 0.5 * in_chat)
                trial.make(list(missing.values()), chat=in_chat)
                found += names
        there = trial.prompts
        return [name for name in found if name in there]

    def _with_examples(self, trial: Trial, wordings: Sequence[Wording], best: str) -> list[str]:
        """Make prompts after ``best`` that show rows of these as examples; their names."""
        chat = best.endswith("-chat")
        known = {template_of(one).name: one for one in (*BUILT_IN.values(), *wordings)}
        wording = known.get(best.removesuffix("-chat"))
        if not self._shots:
            return []
        if wording is None or wording.exemplars:
            why = "has examples of its own" if wording else "is neither built in nor named with --template"
            shots = ", ".join(map(str, self._shots))
            self.left_out.append(f"left out: {shots} examples; the best prompt, {best}, {why}")
            return []
        shown = [self._pairs[place] for place in self._parts.examples]
        files: list[str] = []
        with TemporaryDirectory() as made:
            for count in self._shots:
                file = Path(made, f"{count}.toml")
                try:
                    file.write_text(to_toml(with_exemplars(wording, worked(shown[:count]))), encoding="utf-8")
                    read_template(str(file))
                except (PairError, TemplateError) as error:
                    self.left_out.append(f"left out: {count} examples; {str(error).removeprefix(f'{file}: ')}")
                else:
                    files.append(str(file))
            return trial.make(files, chat=chat)


class _Progress:
    """Counts pairs that were read; says once how long all of them will take."""

    def __init__(self, steps: Steps, total: int) -> None:
        self._steps, self._total, self._done, self._read = steps, total, 0, 0
        self._since = 0.0

    def __call__(self, pairs: int, read: bool) -> None:
        self._done += pairs
        if read:
            self._read += pairs
            self._since = self._since or time.monotonic()
            if self._read == _TIMED:
                rate = (time.monotonic() - self._since) / (_TIMED - 1)
                seconds = rate * (self._total - self._done)
                minutes = round(seconds / 60)
                self._steps.say(f"about {minutes} min to read" if minutes else "less than a minute to read")
                self._steps.expect({_READING: seconds})
        self._steps(_READING, min(1.0, self._done / self._total))
