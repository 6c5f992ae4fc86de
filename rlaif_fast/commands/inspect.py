"""``rlaif-fast inspect``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.options import template_option

if TYPE_CHECKING:
    from rlaif_fast.bundle.manifest import Manifest
    from rlaif_fast.bundle.prompt import Fidelity
    from rlaif_fast.judging.pair_cost import PairCost
    from rlaif_fast.runtime.engine_choice import Tried


@click.command()
@click.argument("bundle")
@template_option
@click.option("--check", is_flag=True, help="Judge the prompt's probes here and compare with its stored answers.")
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON, and each prompt's cost of a pair.")
def inspect(bundle: str, template: str | None, check: bool, as_json: bool) -> None:
    """Show what BUNDLE is: its model, prompts, graph, and fidelity through one of the prompts. Checks its files."""
    from rlaif_fast.bundle.folder import Bundle
    from rlaif_fast.bundle.home import find_bundle
    from rlaif_fast.bundle.manifest import TOKENIZER
    from rlaif_fast.judging.pair_cost import bundle_costs
    from rlaif_fast.prompts.tokenizer import PromptTokenizer

    opened = Bundle(find_bundle(bundle), template)
    opened.check_files()
    tokenizer = PromptTokenizer.from_bytes(opened.tokenizer, str(opened.folder / TOKENIZER))
    costs = bundle_costs(opened.manifest, tokenizer)
    if as_json:
        figures = {name: asdict(cost) for name, cost in costs.items()}
        click.echo(json.dumps({**json.loads(opened.manifest.to_json()), "pair_costs": figures}))
        return
    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.tables import listing

    rows = _lines(opened.manifest, costs.get(opened.manifest.prompt.name))
    if check:
        from rlaif_fast.judging.sessions import session_of
        from rlaif_fast.runtime import selftest

        session = session_of(opened.manifest.prompt.template)(opened)
        worst = selftest.check(opened.manifest, session.answer)
        rows.append(("checked", f"this machine answers the probes as the exporting one did, within {worst:.2g}"))
    rows += [*_tuned(opened.folder), ("folder", str(opened.folder))]
    stdout().print(listing(rows))


def _lines(manifest: Manifest, cost: PairCost | None = None) -> list[tuple[str, str]]:
    model, prompt, counts = manifest.model, manifest.prompt, Counter(manifest.passes)
    first, *others = (one.name for one in manifest.prompts)
    megabytes = sum(f.bytes for f in (*manifest.files.values(), *(one.file for one in manifest.prompts))) / 1e6
    layers = counts["fused_attention"] + counts["attention_of_judged"]
    norms = counts["fused_norms"] + counts["single_norms"]
    from rlaif_fast.prompts.kinds import FOR_PAIRS

    unit = "log-odds" if isinstance(prompt.template, FOR_PAIRS) else "score"
    labels = zip(prompt.template.labels, prompt.label_ids, strict=True)
    answers = ", ".join(f"{text!r} = token {token}" for text, token in labels)
    return [
        ("model", f"{model.id} ({model.architecture}, {model.parameters / 1e6:,.1f} M parameters)"),
        ("revision", model.revision or "-"),
        ("licence", model.licence or "unknown"),
        ("precision", manifest.precision),
        ("prompts", f"{first}, the first; {', '.join(others)}" if others else first),
        ("template", prompt.name),
        ("labels", "none: its head gives each response a reward" if manifest.is_reward_model else answers),
        ("context", f"{manifest.maximum_length:,} tokens, {len(prompt.prefix_ids)} of them baked"),
        *([("a pair", cost.said(prompt.template))] if cost else []),
        ("fidelity", f"{_card(prompt.fidelity, unit)}; against PyTorch fp32 on {prompt.fidelity.prompts},"
                     " by onnxruntime where it was exported"),
        *([("", f"PyTorch bfloat16: {_card(prompt.bfloat16, unit)}; on {prompt.bfloat16.prompts}")]
          if prompt.bfloat16 else []),
        ("attention", f"{counts['fused_attention']} of {layers} layers fused (GroupQueryAttention);"
                      f" {counts['attention_of_judged']} computed for the judged positions only"),
        ("q, k, v", f"{counts['packed_qkv']} of {layers} layers in one product"),
        *([("int8", f"{counts['int8_static']} products with 8 bits of input, {counts['int8_rows']} with 8 bits a row,"
                    f" {counts['int8_terms']} with 16; 16 for the last {prompt.ending} tokens;"
                    f" {counts['int8_float']} in float32")]
          if manifest.precision == "int8" else []),
        ("norms", f"{counts['fused_norms']} of {norms} fused with the residual addition"),
        ("operators", ", ".join(f"{n} {op}" for op, n in manifest.operators.items())),
        ("files", f"{megabytes:,.1f} MB, digests match"),
        ("made with", ", ".join(f"{name} {v}" for name, v in sorted(manifest.tools.items()))),
    ]  # fmt: skip


def _tuned(folder: Path) -> list[tuple[str, str]]:
    """What `tune` measured on this machine, a row a variant; nothing where it was never run."""
    from rlaif_fast.runtime.engine_choice import remembered

    table = remembered(folder)
    if table is None:
        return []
    rows = [f"{one.engine} on the {one.precision} bundle: {_outcome(one)}" for one in table.tried]
    rows[table.chosen] += ", chosen"
    return [("here" if number == 0 else "", row) for number, row in enumerate(rows)]


def _outcome(one: Tried) -> str:
    if one.ratio is None or one.mean is None or one.max is None:
        return one.refusal
    return f"{one.ratio:.2f} of onnxruntime's time, |difference| mean {one.mean:.2g}, max {one.max:.2g}"


def _card(f: Fidelity, unit: str) -> str:
    r = "" if f.r is None else f", correlation {f.r:.4f}"
    close = ", ".join(f"{b.flips} of {b.pairs}" for b in f.by_margin if b.pairs)
    return (
        f"|difference in {unit}| mean {f.mean:.2g}, p99 {f.p99:.2g}, max {f.max:.2g};"
        f" flips {100 * f.flips:.1f} % (by margin, smallest first: {close}){r}"
    )
