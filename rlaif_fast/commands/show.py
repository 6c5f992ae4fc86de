"""``--show``: what the model would be shown of the first rows, on standard output, without a forward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import DEFAULT_MODEL, default_bundle, find_bundle, name_of
from rlaif_fast.bundle.manifest import TOKENIZER, Manifest
from rlaif_fast.errors import TemplateError, escaped
from rlaif_fast.prompts.built_in import DEFAULT, template_of, wording_named
from rlaif_fast.prompts.kinds import FOR_PAIRS, FOR_SCORES, Kinds
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES, ScoreTemplate
from rlaif_fast.prompts.template import Prompt, Template, control
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.reports.console import stderr
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import Rejects, RowReader
from rlaif_fast.rows.samples import Sample

if TYPE_CHECKING:
    from rlaif_fast.rows.reader import Rejected

I = TypeVar("I", Pair, Sample, Candidates)  # noqa: E741
_SCORES = "score-summary"
Prompts = list[tuple[str, str]]  # (what it is, its text)


def show_pairs(
    intake: RowReader, bundle: str | None, name: str | None, count: int, orders: str, skip: bool
) -> int:  # fmt: skip
    """Print the prompts of the first ``count`` pairs; how many rows were skipped.

    Args:
        name: of the bundle's prompt; by default its first.

    Raises:
        PairError, BundleError, TemplateError.
    """
    model = _Model(bundle, name, FOR_PAIRS)
    template = model.pair_template
    return _show(intake, intake.pairs, count, skip, model, lambda pair: _of_pair(template, pair, orders))


def show_candidates(
    intake: RowReader, bundle: str | None, name: str | None, count: int, orders: str, skip: bool
) -> int:  # fmt: skip
    """As :func:`show_pairs`: the first two responses of each row."""
    model = _Model(bundle, name, FOR_PAIRS)
    template = model.pair_template

    def prompts(row: Candidates) -> Prompts:
        if isinstance(template, RewardTemplate):
            texts = dict.fromkeys(row.responses)
            return [(f"of response {row.responses.index(t)}", template.render(row.instruction, t)) for t in texts]
        (_, pair) = next(row.pairs(), (None, None))
        if pair is None:
            return []
        return [(f"1 of {row.pair_count} pairs, {what}", text) for what, text in _of_pair(template, pair, orders)]

    return _show(intake, intake.candidates, count, skip, model, prompts)


def show_samples(intake: RowReader, bundle: str | None, name: str | None, count: int, skip: bool) -> int:
    """As :func:`show_pairs`, where a row has one response."""
    model = _Model(bundle, name, FOR_SCORES)
    template = model.score_template
    return _show(
        intake, intake.samples, count, skip, model,
        lambda sample: [("prompt", template.render(sample.instruction, sample.response))],
    )  # fmt: skip


class _Model:
    """What prompts are made with, as far as it is there: the default judge is not exported to look at rows."""

    def __init__(self, bundle: str | None, name: str | None, kinds: Kinds) -> None:
        folder: Path | None = default_bundle() if bundle is None else find_bundle(bundle)
        self.manifest: Manifest | None = None
        self._name = name
        if folder is None:
            stderr().print(f"the default judge {DEFAULT_MODEL} is not exported yet: its prompts, without token counts")
            return
        self.manifest = read_manifest(folder).through(name, kinds, name_of(folder))
        self._tokenizer = PromptTokenizer.from_file(folder / TOKENIZER)

    @property
    def pair_template(self) -> Template | RewardTemplate:
        """The prompt's, or the built-in one of its name."""
        if self.manifest is None:
            return template_of(wording_named(self._name or DEFAULT))
        if isinstance(self.manifest.prompt.template, RewardTemplate):
            return self.manifest.prompt.template
        return self.manifest.pair_template

    @property
    def score_template(self) -> ScoreTemplate | RewardTemplate:
        """As :attr:`pair_template`."""
        if self.manifest is None:
            name = self._name or _SCORES
            if name not in SCORE_TEMPLATES:
                raise TemplateError(f"no template {name!r} for scores, there is: {', '.join(SCORE_TEMPLATES)}")
            return SCORE_TEMPLATES[name]
        if isinstance(self.manifest.prompt.template, RewardTemplate):
            return self.manifest.prompt.template
        return self.manifest.score_template

    def size(self, prompt: str) -> str:
        """How long a prompt is."""
        if self.manifest is None:
            return ""
        tokens, most = len(self._tokenizer.encode(prompt)), self.manifest.maximum_length
        over = f", over the {most:,} that the model takes" if tokens > most else ""
        return f", {tokens:,} tokens{over}"


def _of_pair(template: Template | RewardTemplate, pair: Pair, orders: str) -> Prompts:
    if isinstance(template, RewardTemplate):
        texts = {"of response_0": pair.response_0, "of response_1": pair.response_1}
        return [(what, template.render(pair.instruction, text)) for what, text in texts.items()]
    found: Prompts = [("response_0 first", template.render(pair.instruction, pair.response_0, pair.response_1))]
    if orders not in ("forward", "prior"):
        found.append(("response_1 first", template.render(pair.instruction, pair.response_1, pair.response_0)))
    return found


def _show(
    intake: RowReader, read: Callable[..., Iterator[I]], count: int, skip: bool, model: _Model,
    prompts: Callable[[I], Prompts],
) -> int:  # fmt: skip
    rejects = Rejects(None, stderr().print) if skip else None
    rejected: Rejected | None = rejects
    for item in islice(read(rejected=rejected), count):
        lines = [f"== {item}", *_columns(intake)]
        for what, prompt in prompts(item):
            lines += [f"-- {what}{model.size(prompt)}", _marked(prompt)]
        sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
    return rejects.count if rejects else 0


def _columns(intake: RowReader) -> list[str]:
    """A line on the columns of the row that was read last."""
    taken = intake.taken
    if taken is None:
        return []
    parts: dict[str, Any] = {
        "used": taken.used, "shown with the instruction": taken.shown, "carried": taken.carried,
        "ignored": taken.ignored,
    }  # fmt: skip
    return [escaped("; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names))]


def _marked(prompt: str) -> str:
    """The prompt as a terminal can show it; control tokens as templates write them, ``{token:<|im_end|>}``."""
    at, parts = 0, []
    for begin, end in prompt.controls if isinstance(prompt, Prompt) else ():
        parts += [prompt[at:begin], control(prompt[begin:end])]
        at = end
    text = "".join([*parts, prompt[at:]])
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))
