"""``rlaif-fast template``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands import exporter
from rlaif_fast.commands.prompt_options import CHAT, chosen_template, guard_named, prompt_options, score_template
from rlaif_fast.commands.slips import Group
from rlaif_fast.errors import TemplateError
from rlaif_fast.reports.terminal import echo, say
from rlaif_fast.wording import counted

if TYPE_CHECKING:
    from rlaif_fast.prompts.guards import Guard
    from rlaif_fast.prompts.kinds import Askable
    from rlaif_fast.prompts.template_file import TemplateSource
    from rlaif_fast_export.prompts.fitted import FittedPrompt
    from rlaif_fast_export.sources.source import Source

_PAIR = ("<the instruction>", "<the response shown first>", "<the response shown second>")
_SAMPLE = ("<the instruction>", "<the response>")
_MODEL = click.option(
    "--model", help="MODEL, as `export` takes it, whose tokenizer (and with --chat its chat template) is used."
)


@click.group(cls=Group)
def template() -> None:
    """List the built-in prompt templates, show one, or check your own template file."""


@template.command("list")
def list_() -> None:
    """List the built-in templates, each with its first line. Those named score-… rate a single response.

    Then follow the templates for models that were trained to judge, with the models, and the questions for safety
    models.
    """
    from rlaif_fast.prompts.built_in import BUILT_IN
    from rlaif_fast.prompts.guards import GUARDS
    from rlaif_fast.prompts.judge_models import JUDGE_MODELS
    from rlaif_fast.prompts.score_template import SCORE_TEMPLATES

    texts = {name: wording.head for name, wording in BUILT_IN.items()}
    texts |= {name: score.text for name, score in SCORE_TEMPLATES.items()}
    for name, text in texts.items():
        echo(f"{name:18} {text.splitlines()[0]}")
    for name, judge in JUDGE_MODELS.items():
        echo(f"{name:18} for {judge.models}{', with --chat yes' * judge.chat}")
    width = max(map(len, GUARDS))
    for name, guard in GUARDS.items():
        echo(f"{name:{width}}  for {guard.models}: {guard.about}")


@template.command()
@click.argument("name", metavar="NAME|FILE")
@prompt_options
@_MODEL
@CHAT
def show(name: str, exemplars: str | None, shots: int | None, model: str | None, chat: str) -> None:
    """Print a template's prompt, with placeholders for a row's texts."""
    from rlaif_fast.prompts.judge_models import JUDGE_MODELS

    _chat_needs_model(chat, model)
    guard = guard_named(name, exemplars, shots)
    if guard is not None:
        _show_guard(guard, model)
        return
    score = score_template(name, exemplars, shots, chat)
    if score is not None:
        echo(score.render(*_SAMPLE))
        say("\nanswered with a score from 1 to 10")
        return
    read, chosen = chosen_template(name, exemplars, shots)
    chosen = chosen.plain if model is None else _fitted(read, chosen, _source(model), chat).pair_template
    echo(str(chosen.render(*_PAIR)))
    *others, last = map(repr, chosen.labels)
    say(f"\nanswered with {', '.join(others)} or {last}")
    if judge := JUDGE_MODELS.get(name):
        say(f"for {judge.models}, after {judge.source}")


@template.command()
@click.argument("name", metavar="NAME|FILE")
@prompt_options
@_MODEL
@CHAT
def check(name: str, exemplars: str | None, shots: int | None, model: str | None, chat: str) -> None:
    """Check a template's file, and with --model its label tokens, its length in tokens and the cost per pair."""
    _chat_needs_model(chat, model)
    guard, score, read = guard_named(name, exemplars, shots), score_template(name, exemplars, shots, chat), None
    chosen: Askable
    if guard is not None:
        what, chosen = "a safety model's question, which its chat template writes", guard
    elif score is not None:
        what, chosen = "a score template", score
    else:
        read, chosen = chosen_template(name, exemplars, shots)
        what = f"a template, {counted(len(read.wording.exemplars), 'few-shot example')}"
    source = None if model is None else _source(model)
    fitted = None if source is None else _fitted(read, chosen, source, chat)
    echo(f"{name}: {what}, in bundles called {(fitted.template if fitted else chosen).name}")
    if fitted is None or source is None:
        return
    labels = zip(fitted.template.labels, fitted.label_ids, strict=True)
    echo(
        f"{model}: {', '.join(f'{label!r} is token {token}' for label, token in labels)} after the prompt;"
        f" {len(fitted.prefix_ids):,} tokens are the same in every prompt, which leaves"
        f" {fitted.longest - len(fitted.prefix_ids):,} for the row"
    )
    echo(f"a pair: {_pair_cost(fitted, source)}")


def _show_guard(guard: Guard, model: str | None) -> None:
    """What the model's own chat template writes; without it, what that is asked for."""
    from rlaif_fast.prompts.reward_template import RewardTemplate

    if model is None:
        asked = [f"{name} = {value}" for name, value in guard.arguments.items()]
        echo("\n".join([*asked, *([guard.question] if guard.question else [])]))
        say("\nwhat the model's own chat template is given with the conversation; --model shows what it writes")
    else:
        template = _fitted(None, guard, _source(model), "no").template
        assert isinstance(template, RewardTemplate)
        echo(str(template.render(*_SAMPLE)))
    safe, unsafe = map(repr, guard.labels)
    say(f"\nanswered with {unsafe} where the response is unsafe, else {safe}")
    say(f"for {guard.models}, after {guard.source}")


def _chat_needs_model(chat: str, model: str | None) -> None:
    if model is None and chat != "no":
        raise click.UsageError("--chat needs the --model whose chat template it is")


def _source(model: str) -> Source:
    with exporter.needed("--model needs the exporter"):
        from rlaif_fast_export.sources.quiet import quiet_libraries
        from rlaif_fast_export.sources.source import find_source
    quiet_libraries()
    return find_source(model, unlisted=True)


def _fitted(read: TemplateSource | None, chosen: Askable, source: Source, chat: str) -> FittedPrompt:
    from rlaif_fast_export.prompts.fitted import fit

    try:
        return fit(source, chosen, chat=read is not None and exporter.in_chat(chat, source))
    except TemplateError as error:
        raise (read.located(error) if read else error) from None


def _pair_cost(fitted: FittedPrompt, source: Source) -> str:
    """Beside the built-in ``summary`` as it stands, whose labels do not matter here."""
    from rlaif_fast.bundle.manifest import Cost
    from rlaif_fast.judging.pair_cost import COUNTED, IN_TOKENS, pair_costs
    from rlaif_fast.prompts.template import SUMMARY
    from rlaif_fast_export.reference.texts import shipped_pairs
    from rlaif_fast_export.sources.products import pass_cost

    plain = replace(fitted, template=SUMMARY, prefix_ids=fitted.tokenizer.prefix_ids(SUMMARY))
    cost = pass_cost(source)
    found = pair_costs([fitted], plain, fitted.tokenizer, shipped_pairs("probes"), cost or Cost(1, 0))
    return found[fitted.template.name].said(fitted.template, COUNTED if cost else IN_TOKENS)
