"""``rlaif-fast prompt``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlaif_fast.commands import exporter
from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.numbers import Range
from rlaif_fast.commands.prompt_options import CHAT, named_templates, prompt_options
from rlaif_fast.commands.slips import Group
from rlaif_fast.errors import BundleError, ExportError, TemplateError

if TYPE_CHECKING:
    from rlaif_fast.bundle.manifest import Manifest
    from rlaif_fast.judging.pair_cost import PairCost
    from rlaif_fast_export.sources.source import Source


@click.group(cls=Group)
def prompt() -> None:
    """List, add or remove the prompts of a bundle. Its graph and weights stay as they are."""


@prompt.command("list")
@click.argument("bundle")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes are in bytes.")
def list_(bundle: str, as_json: bool) -> None:
    """List the prompts of BUNDLE: for pairs or for scores, size, and difference from PyTorch fp32."""
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import find_bundle
    from rlaif_fast.bundle.manifest import TOKENIZER
    from rlaif_fast.judging.pair_cost import COUNTED, bundle_costs
    from rlaif_fast.prompts.tokenizer import PromptTokenizer
    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.tables import Table

    folder = find_bundle(bundle)
    manifest = read_manifest(folder)
    costs = bundle_costs(manifest, PromptTokenizer.from_file(folder / TOKENIZER))
    found = _figures(manifest, costs)
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [
        [f"{one['name']}{' *' if one['first'] else ''}", one["kind"], f"{one['tokens']:,}",
         *([f"{cost['tokens']:,.0f}", f"{cost['relative']:.2f}"] if (cost := one["pair_cost"]) else "--"),
         f"{one['mean']:.2g}", f"{one['bytes'] / 1e6:,.1f}"]
        for one in found
    ]  # fmt: skip
    console = stdout()
    columns = ["for", "baked", "a pair", "time", "mean error", "MB"]
    console.print(Table("prompt", columns, rows).printed(), soft_wrap=True)
    console.print("* what is taken without --template", style="dim")
    if costs:
        first = costs[manifest.prompts[0].name]
        console.print(
            f"tokens baked, and of a pair in both orders (scores: of both responses), mean of {first.pairs} probe"
            f" pairs; its time in that through {first.plain}, {COUNTED}; mean error to PyTorch fp32",
            style="dim", soft_wrap=True,
        )  # fmt: skip


def _figures(manifest: Manifest, costs: Mapping[str, PairCost]) -> list[dict[str, Any]]:
    from rlaif_fast.prompts.kinds import kind_of

    taken = _taken(manifest).values()
    return [
        {
            "name": one.name, "kind": kind_of(one.template), "first": one.name in taken, "tokens": len(one.prefix_ids),
            "pair_cost": asdict(costs[one.name]) if costs else None, "mean": one.fidelity.mean,
            "bytes": one.file.bytes,
        }
        for one in manifest.prompts
    ]  # fmt: skip


def _taken(manifest: Manifest) -> dict[str, str | None]:
    """The prompts that are taken without ``--template``: by command, their names."""
    from rlaif_fast.prompts.kinds import FOR_PAIRS, FOR_SCORES

    return {
        command: next((one.name for one in manifest.prompts if isinstance(one.template, kinds)), None)
        for command, kinds in (("judge", FOR_PAIRS), ("score", FOR_SCORES))
    }


@prompt.command(cls=Command)
@click.argument("bundle")
@option(
    "Input",
    "--model",
    help="MODEL that BUNDLE was exported from, as `export` takes it. [default: the one BUNDLE names]",
)
@option(
    "Input", "--revision", help="Branch, tag or commit of a hub model. [default: the commit BUNDLE was exported from]"
)
@exporter.TRUST
@option("Prompt", "--template", "names", multiple=True, required=True, metavar="NAME|FILE", help="The name of"
        " a built-in prompt, or your own .toml file. Repeatable.")  # fmt: skip
@prompt_options
@CHAT
@option("Precision", "--max-delta", type=Range(min=0, min_open=True), help="Largest mean |difference in"
        " log-odds| to PyTorch fp32 allowed for an int8 bundle. [default: 0.03]")  # fmt: skip
@option("Output", "--force", is_flag=True, help="Replace prompts that have the same name.")
@option("Output", "--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
        help="What to do if a prompt cannot be added: add none, or skip it and add the others.")  # fmt: skip
@click.pass_context
def add(
    context: click.Context, bundle: str, model: str | None, revision: str | None, trust_remote_code: bool,
    names: tuple[str, ...], exemplars: str | None, shots: int | None, chat: str, max_delta: float | None, force: bool,
    on_error: str,
) -> None:  # fmt: skip
    """Add prompts to BUNDLE, a folder or an exported model's id.

    The model is needed once more, for a short pass in float32; nothing is rounded or converted again. The bundle is
    verified against PyTorch through each new prompt before any is kept. Its path is the last line on standard output.
    """
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import find_bundle
    from rlaif_fast.reports.console import Steps

    folder = find_bundle(bundle)
    manifest = read_manifest(folder)
    if max_delta is not None and manifest.precision != "int8":
        raise click.UsageError(f"--max-delta is for int8 bundles, {folder} is {manifest.precision}")
    if manifest.is_reward_model:
        raise BundleError(
            f"{folder}: a reward model reads conversations through its own chat template alone; no prompt can be added"
        )
    named = named_templates(names, exemplars, shots, chat)
    with exporter.needed():
        from rlaif_fast_export.adding import add_prompts
        from rlaif_fast_export.sources.quiet import quiet_libraries
    quiet_libraries()
    with Steps().shown() as steps:
        source = _source(folder, manifest, model, revision, trust_remote_code)
        try:
            added = add_prompts(
                folder, source, named.templates, chat=exporter.in_chat(chat, source), progress=steps,
                max_delta=max_delta, force=force, skip=steps.say if on_error == "skip" else None,
            )  # fmt: skip
        except TemplateError as error:
            raise named.located(error) from None
        steps.say(f"added {', '.join(added) or 'nothing'}")
    click.echo(os.fsencode(folder))
    if len(added) < len(named.templates):
        context.exit(1)


def _source(folder: Path, manifest: Manifest, model: str | None, revision: str | None, trusted: bool) -> Source:
    """The model that the bundle was made of. Raises ExportError where that is not said, or it names nothing."""
    from rlaif_fast.bundle.home import DEFAULT_MODEL
    from rlaif_fast_export.sources.source import find_source

    made_of = manifest.model
    if model is None and made_of.revision is None and made_of.id != DEFAULT_MODEL and not Path(made_of.id).exists():
        raise ExportError(f"{folder}: made of a folder or file called {made_of.id}; say where it is with --model")
    if revision is None and model in (None, made_of.id):
        revision = made_of.revision
    return find_source(model or made_of.id, revision, trusted=trusted, unlisted=True)


@prompt.command()
@click.argument("bundle")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def remove(bundle: str, names: tuple[str, ...]) -> None:
    """Remove prompts from BUNDLE, by the NAMEs that `prompt list` shows. At least one must remain."""
    from rlaif_fast.bundle.editing import remove_prompts
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import find_bundle
    from rlaif_fast.reports.terminal import say

    folder = find_bundle(bundle)
    before = _taken(read_manifest(folder))
    remove_prompts(folder, names)
    say(f"removed {', '.join(dict.fromkeys(names))}")
    for command, taken in _taken(read_manifest(folder)).items():
        if taken is not None and taken != before[command]:
            say(f"{command} takes {taken} now, where --template names none")
