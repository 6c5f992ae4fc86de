"""``rlaif-fast inspect``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.options import template_option

if TYPE_CHECKING:
    from rlaif_fast.bundle.manifest import Manifest
    from rlaif_fast.bundle.prompt import Fidelity
    from rlaif_fast.judging.pair_cost import PairCost
    from rlaif_fast.runtime.engine_choice import Tried, Tuned


@click.command()
@click.argument("bundle", required=False)
@template_option
@click.option(
    "--check",
    is_flag=True,
    help="Judge the bundle's probe pairs on this machine, and compare with the answers stored at export.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Also show the label tokens, the graph, the engines and the versions."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON, with each prompt's cost per pair.")
def inspect(bundle: str | None, template: str | None, check: bool, verbose: bool, as_json: bool) -> None:
    """Show what BUNDLE is: model, size, difference from PyTorch fp32, speed and prompts. Verifies its files.

    Difference and cost per pair are shown for one prompt, the one that --template names. BUNDLE is a folder or a name,
    as -b of the other commands takes it. [default: the embedded default model's]
    """
    from rlaif_fast.bundle.folder import Bundle
    from rlaif_fast.bundle.home import DEFAULT_MODEL, default_bundle, find_bundle
    from rlaif_fast.bundle.manifest import TOKENIZER
    from rlaif_fast.judging.pair_cost import bundle_costs
    from rlaif_fast.prompts.tokenizer import PromptTokenizer
    from rlaif_fast.runtime.engine_choice import remembered

    folder = find_bundle(bundle) if bundle is not None else default_bundle() or Path(DEFAULT_MODEL)
    opened = Bundle(folder, template)
    opened.check_files()
    tokenizer = PromptTokenizer.from_bytes(opened.tokenizer, str(opened.folder / TOKENIZER))
    costs = bundle_costs(opened.manifest, tokenizer)
    if as_json:
        figures = {name: asdict(cost) for name, cost in costs.items()}
        click.echo(json.dumps({**json.loads(opened.manifest.to_json()), "pair_costs": figures}))
        return
    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.tables import listing

    table = remembered(folder)
    rows = _summary(opened.manifest, opened.folder, costs.get(opened.manifest.prompt.name), table)
    if check:
        from rlaif_fast.judging.sessions import session_of
        from rlaif_fast.runtime import selftest

        session = session_of(opened.manifest.prompt.template)(opened)
        worst = selftest.check(opened.manifest, session.answer)
        rows.append(("checked", f"this machine answers the probes as the exporting one did, within {worst:.2g}"))
    if verbose:
        rows += _details(opened.manifest, table)
    stdout().print(listing(rows))


def _summary(
    manifest: Manifest, folder: Path, cost: PairCost | None, table: Tuned | None
) -> list[tuple[str, str]]:  # fmt: skip
    """What people ask first."""
    from rlaif_fast.bundle.home import name_of

    name = name_of(folder)
    model, prompt, of = manifest.model, manifest.prompt, manifest.prompt.fidelity
    megabytes = sum(file.bytes for file in manifest.all_files.values()) / 1e6
    flips = f"{round(of.flips * of.pairs)} of {of.pairs} labels differ from PyTorch fp32's"
    bfloat16 = f"; PyTorch's own bfloat16: {_errors(prompt.bfloat16)}" if prompt.bfloat16 else ""
    if table is None or table.choice.ms is None:
        timed = f"not measured on this machine: rlaif-fast tune {quote(name)}"
    else:
        timed = f"{table.choice.ms:,.0f} ms a pair on this machine, by {_called(table.choice)}"
    return [
        ("model", f"{model.id} ({model.architecture}, {model.parameters / 1e6:,.1f} M parameters,"
                  f" licence {model.licence or 'unknown'})"),
        ("bundle", f"{manifest.precision}, {megabytes:,.1f} MB, digests match"),
        ("context", f"{manifest.maximum_length:,} tokens, {len(prompt.prefix_ids)} of them baked"),
        *[("" if number else "prompts", f"for {kind}: {', '.join(names)}")
          for number, (kind, names) in enumerate(manifest.prompts_by_kind.items())],
        ("fidelity", f"{flips}, |difference in {_unit(manifest)}| {_errors(of)}; through {prompt.name},"
                     f" {of.prompts}{bfloat16}"),
        ("agreement", f"with human labels, on your own pairs: rlaif-fast eval LABELLED -b {quote(name)}"),
        *([("a pair", cost.said(prompt.template))] if cost else []),
        ("speed", timed),
        ("folder", str(folder)),
    ]  # fmt: skip


def _details(manifest: Manifest, table: Tuned | None) -> list[tuple[str, str]]:
    """Where it comes from, the labels' tokens, the whole fidelity card, what is in the graph, and the engines."""
    model, prompt, counts = manifest.model, manifest.prompt, Counter(manifest.passes)
    layers = counts["fused_attention"] + counts["attention_of_judged"]
    norms = counts["fused_norms"] + counts["single_norms"]
    labels = zip(prompt.template.labels, prompt.label_ids, strict=True)
    answers = ", ".join(f"{text!r} = token {token}" for text, token in labels)
    unit = _unit(manifest)
    return [
        ("revision", model.revision or "-"),
        ("labels", "none: its head gives each response a reward" if manifest.is_reward_model else answers),
        ("by margin", f"{_card(prompt.fidelity, unit)}; against PyTorch fp32 on {prompt.fidelity.prompts},"
                      " by onnxruntime where it was exported"),
        *([("", f"PyTorch bfloat16: {_card(prompt.bfloat16, unit)}; on {prompt.bfloat16.prompts}")]
          if prompt.bfloat16 else []),
        ("attention", f"{counts['fused_attention']} of {layers} layers fused (GroupQueryAttention);"
                      f" {counts['attention_of_judged']} computed for the judged positions only"),
        ("q, k, v", f"{counts['packed_qkv']} of {layers} layers in one product"),
        # int8_static: of bundles made before, whose 8 bits could have a constant range.
        *([("int8", f"{counts['int8_static'] + counts['int8_rows']} products with 8 bits of input,"
                    f" {counts['int8_terms']} with 16; 16 for the last {prompt.ending} tokens;"
                    f" {counts['int8_float']} in float32")]
          if manifest.precision == "int8" else []),
        ("norms", f"{counts['fused_norms']} of {norms} fused with the residual addition"),
        ("operators", ", ".join(f"{n} {op}" for op, n in manifest.operators.items())),
        ("made with", ", ".join(f"{name} {v}" for name, v in sorted(manifest.tools.items()))),
        *_tuned(table),
    ]  # fmt: skip


def _unit(manifest: Manifest) -> str:
    from rlaif_fast.prompts.kinds import FOR_PAIRS

    return "log-odds" if isinstance(manifest.prompt.template, FOR_PAIRS) else "score"


def _errors(of: Fidelity) -> str:
    return f"mean {of.mean:.2g}, max {of.max:.2g}"


def _tuned(table: Tuned | None) -> list[tuple[str, str]]:
    """What was measured on this machine, a row a variant; nothing where nothing was."""
    if table is None:
        return []
    rows = [f"{_called(one)}: {_outcome(one)}" for one in table.tried]
    rows[table.chosen] += ", chosen"
    return [("engines" if number == 0 else "", row) for number, row in enumerate(rows)]


def _called(one: Tried) -> str:
    return f"{one.engine} on the {one.precision} bundle"


def _outcome(one: Tried) -> str:
    if one.ratio is None:
        return one.refusal
    errors = f", |difference| mean {one.mean:.2g}, max {one.max:.2g}" if None not in (one.mean, one.max) else ""
    return f"{one.ratio:.2f} of onnxruntime's time{errors}"


def _card(f: Fidelity, unit: str) -> str:
    r = "" if f.r is None else f", correlation {f.r:.4f}"
    close = ", ".join(f"{b.flips} of {b.pairs}" for b in f.by_margin if b.pairs)
    return (
        f"|difference in {unit}| mean {f.mean:.2g}, p99 {f.p99:.2g}, max {f.max:.2g};"
        f" flips {100 * f.flips:.1f} % (by margin, smallest first: {close}){r}"
    )
