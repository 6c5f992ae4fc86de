"""``rlaif-fast template``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.prompt_options import CHAT, chosen_template, prompt_options
from rlaif_fast.errors import ExportError, TemplateError

if TYPE_CHECKING:
    from rlaif_fast.template import Template
    from rlaif_fast.template_file import TemplateSource
    from rlaif_fast_export.prompt import FittedPrompt

_SHOWN = ("<the instruction>", "<the response shown first>", "<the response shown second>")
_MODEL = click.option("--model", help="As export takes it: its tokenizer is asked, and its chat template with --chat.")


@click.group()
def template() -> None:
    """The prompts a judge can be made for: list them, show one, check a file of your own."""


@template.command("list")
def list_() -> None:
    """The built-in templates and the first line of each."""
    from rlaif_fast.built_in import BUILT_IN

    for name, wording in BUILT_IN.items():
        click.echo(f"{name:18} {wording.head.splitlines()[0]}")


@template.command()
@click.argument("name", metavar="NAME|FILE")
@prompt_options
@_MODEL
@CHAT
def show(name: str, exemplars: str | None, shots: int | None, model: str | None, chat: str) -> None:
    """Print the prompt of a template with marks where a pair's texts go."""
    read, chosen = chosen_template(name, exemplars, shots)
    if model is not None:
        chosen = _fitted(read, chosen, model, chat).pair_template
    elif chat != "no":
        raise click.UsageError("--chat needs the --model whose chat template it is")
    click.echo(str(chosen.render(*_SHOWN)))
    click.echo(f"\nanswered with {chosen.labels[0]!r} or {chosen.labels[1]!r}", err=True)


@template.command()
@click.argument("name", metavar="NAME|FILE")
@prompt_options
@_MODEL
@CHAT
def check(name: str, exemplars: str | None, shots: int | None, model: str | None, chat: str) -> None:
    """Check a template: the file, and with --model its labels and length for that model."""
    if model is None and chat != "no":
        raise click.UsageError("--chat needs the --model whose chat template it is")
    read, chosen = chosen_template(name, exemplars, shots)
    click.echo(f"{name}: a template, {len(read.wording.exemplars)} worked examples, bundles named {chosen.name}")
    if model is None:
        return
    fitted = _fitted(read, chosen, model, chat)
    labels = zip(chosen.labels, fitted.label_ids, strict=True)
    click.echo(
        f"{model}: {' and '.join(f'{label!r} is token {token}' for label, token in labels)} behind the prompt;"
        f" {len(fitted.prefix_ids):,} tokens are the same in every prompt, which leaves"
        f" {fitted.longest - len(fitted.prefix_ids):,} for the pair"
    )


def _fitted(read: TemplateSource, chosen: Template, model: str, chat: str) -> FittedPrompt:
    try:
        from rlaif_fast_export.chat import has_chat_template
        from rlaif_fast_export.prompt import fit
        from rlaif_fast_export.quiet import quiet_libraries
        from rlaif_fast_export.sources import find_source
    except ImportError as error:
        raise ExportError(
            f"--model needs the exporter ({error.name} is missing); pip install 'rlaif-fast[export]'"
        ) from error
    quiet_libraries()
    source = find_source(model)
    in_chat = chat == "yes" or (chat == "auto" and has_chat_template(source.tokenizer()))
    try:
        return fit(source, chosen, chat=in_chat)
    except TemplateError as error:
        raise read.about_labels(error) from None
