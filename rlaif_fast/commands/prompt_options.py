"""What decides the prompt, the same for every command that makes or shows one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rlaif_fast.commands.headings import option
from rlaif_fast.errors import TemplateError
from rlaif_fast.reports.terminal import say

if TYPE_CHECKING:
    from rlaif_fast.prompts.guards import Guard
    from rlaif_fast.prompts.kinds import Askable
    from rlaif_fast.prompts.score_template import ScoreTemplate
    from rlaif_fast.prompts.template import Template
    from rlaif_fast.prompts.template_file import TemplateSource

F = TypeVar("F", bound=Callable[..., Any])
_MOST = 64  # few-shot examples: far beyond what helps

CHAT = option(
    "Prompt",
    "--chat",
    type=click.Choice(["auto", "yes", "no"]),
    default="no",
    show_default=True,
    help="Wrap the prompt in the model's chat template. auto: if the model has one.",
)


def prompt_options(command: F) -> F:
    """``--exemplars`` and ``--shots``."""
    command = option("Prompt", "--shots", type=click.IntRange(1, _MOST), help="Number of few-shot examples; goes"
                     " with --exemplars.")(command)  # fmt: skip
    return option(
        "Prompt",
        "--exemplars",
        type=click.Path(exists=True, dir_okay=False),
        help="File of labelled pairs. The prompt shows the first --shots of them as few-shot examples.",
    )(command)


def score_template(name: str, exemplars: str | None, shots: int | None, chat: str) -> ScoreTemplate | None:
    """The score template of that name, which is taken as it stands; None where the name is none of one."""
    from rlaif_fast.prompts.score_template import SCORE_TEMPLATES

    score = SCORE_TEMPLATES.get(name)
    if score is not None and (exemplars or shots or chat == "yes"):
        raise click.UsageError(f"{name} is a score template, it takes neither --exemplars nor --chat yes")
    return score


def guard_named(name: str, exemplars: str | None, shots: int | None) -> Guard | None:
    """The safety model's question of that name, which its chat template writes; None where the name is none of one."""
    from rlaif_fast.prompts.guards import GUARDS

    guard = GUARDS.get(name)
    if guard is not None and (exemplars or shots):
        raise click.UsageError(f"{name} is a safety model's own question, it takes no --exemplars")
    return guard


def chosen_template(
    name_or_file: str, exemplars: str | None, shots: int | None, tell: Callable[[str], None] = say
) -> tuple[TemplateSource, Template]:
    """What was named, with its few-shot examples, which are announced.

    Raises:
        TemplateError, PairError: naming file and line.
    """
    from rlaif_fast.prompts.built_in import template_of
    from rlaif_fast.prompts.few_shot import balance_line, read_labelled, with_exemplars, worked
    from rlaif_fast.prompts.template_file import TemplateSource, read_template
    from rlaif_fast.schemas.human_labels import LeftOut

    if (exemplars is None) != (shots is None):
        raise click.UsageError("--exemplars FILE and --shots N go together")
    read = read_template(name_or_file)
    if exemplars is None or shots is None:
        return read, template_of(read.wording)
    if read.wording.exemplars:
        raise TemplateError(f"{name_or_file}: has exemplars of its own; take them out, or leave --exemplars out")
    left_out = LeftOut()
    wording = with_exemplars(read.wording, worked(read_labelled(exemplars, shots, left_out)))
    tell(balance_line(wording, exemplars, left_out))
    return TemplateSource(wording, read.file), template_of(wording)


@dataclass(frozen=True)
class Named:
    """The templates that were named.

    Attributes:
        pairs: those for pairs, each with where it was read.
        guards: questions to safety models.
        scores: those for scores.
    """

    pairs: Sequence[tuple[TemplateSource, Template]]
    guards: Sequence[Guard]
    scores: Sequence[ScoreTemplate]

    @property
    def templates(self) -> list[Askable]:
        """All, those for scores last: one of the others is what int8 is fitted for."""
        return [*(template for _, template in self.pairs), *self.guards, *self.scores]

    @property
    def of_scores_alone(self) -> bool:
        """Whether there is none that int8 could be fitted for."""
        return not (self.pairs or self.guards)

    def located(self, error: TemplateError) -> TemplateError:
        """What was said of one of them, with the line of its file where it has one."""
        for read, template in self.pairs:
            texts = read.wording.head, read.wording.body, read.wording.ending, read.wording.reply
            if any(error.part in text for text in texts) if error.part else f"template {template.name}" in str(error):
                return read.located(error)
        return error


def named_templates(names: Sequence[str], exemplars: str | None, shots: int | None, chat: str) -> Named:
    """What ``--template``, given several times, names. Few-shot examples are shown in every prompt for pairs.

    Raises:
        TemplateError, PairError: naming file and line.
    """
    from rlaif_fast.prompts.judge_models import JUDGE_MODELS
    from rlaif_fast.prompts.score_template import SCORE_TEMPLATES

    alone = all(name in SCORE_TEMPLATES for name in names)  # else --chat is for the others
    scores = {name: score_template(name, exemplars, shots, chat if alone else "no") for name in names}
    guards = {name: guard_named(name, exemplars, shots) for name in names}
    told: dict[str, None] = {}
    pairs = [
        chosen_template(name, exemplars, shots, lambda line: told.setdefault(line))
        for name in names
        if scores[name] is None and guards[name] is None
    ]
    found = Named(
        pairs,
        [guard for guard in guards.values() if guard is not None],
        [score for score in scores.values() if score is not None],
    )
    known = [name for name in names if scores[name] is not None or guards[name] is not None]
    called = [*(template.name for _, template in pairs), *known]
    if again := [name for name in called if called.count(name) > 1]:
        raise click.UsageError(f"--template {again[0]} is given twice")
    for line in told:
        say(line)
    for name in names:
        if chat == "no" and name in JUDGE_MODELS and JUDGE_MODELS[name].chat:
            say(f"warning: {JUDGE_MODELS[name].models} are asked through their chat template; add --chat yes")
    return found


def other_templates(names: Sequence[str]) -> list[Template | ScoreTemplate]:
    """The built-in templates, those for scores last, but for the ones of ``names``."""
    from rlaif_fast.prompts.built_in import BUILT_IN, template_of
    from rlaif_fast.prompts.score_template import SCORE_TEMPLATES

    found: list[Template | ScoreTemplate] = [*map(template_of, BUILT_IN.values()), *SCORE_TEMPLATES.values()]
    return [template for template in found if template.name not in names]
