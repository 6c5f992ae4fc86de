"""What decides the prompt, the same for every command that makes or shows one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rlaif_fast.commands.headings import option
from rlaif_fast.errors import TemplateError

if TYPE_CHECKING:
    from rlaif_fast.prompts.score_template import ScoreTemplate
    from rlaif_fast.prompts.template import Template
    from rlaif_fast.prompts.template_file import TemplateSource

F = TypeVar("F", bound=Callable[..., Any])
_MOST = 64  # worked examples: far beyond what helps

CHAT = option(
    "Prompt",
    "--chat",
    type=click.Choice(["auto", "yes", "no"]),
    default="no",
    show_default=True,
    help="Put the prompt into the model's own chat template; auto: where it has one.",
)


def prompt_options(command: F) -> F:
    """``--exemplars`` and ``--shots``."""
    command = option("Prompt", "--shots", type=click.IntRange(1, _MOST), help="Number of exemplars.")(command)
    return option(
        "Prompt",
        "--exemplars",
        type=click.Path(exists=True, dir_okay=False),
        help="Rows with a human label, the first of which the judge is shown as few-shot examples.",
    )(command)


def score_template(name: str, exemplars: str | None, shots: int | None, chat: str) -> ScoreTemplate | None:
    """The score template of that name, which is taken as it stands; None where the name is none of one."""
    from rlaif_fast.prompts.score_template import SCORE_TEMPLATES

    score = SCORE_TEMPLATES.get(name)
    if score is not None and (exemplars or shots or chat == "yes"):
        raise click.UsageError(f"{name} is a score template, it takes neither --exemplars nor --chat yes")
    return score


def chosen_template(name_or_file: str, exemplars: str | None, shots: int | None) -> tuple[TemplateSource, Template]:
    """What was named, with its worked examples, which are announced on standard error.

    Raises:
        TemplateError, PairError: naming file and line.
    """
    from rlaif_fast.prompts.built_in import template_of
    from rlaif_fast.prompts.few_shot import balance_line, read_labelled, with_exemplars, worked
    from rlaif_fast.prompts.template_file import TemplateSource, read_template
    from rlaif_fast.reports.terminal import say
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
    say(balance_line(wording, exemplars, left_out))
    return TemplateSource(wording, read.file), template_of(wording)
