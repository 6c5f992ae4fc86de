"""``rlaif-fast inspect``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rlaif_fast.manifest import Manifest


@click.command()
@click.argument("bundle")
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
def inspect(bundle: str, as_json: bool) -> None:
    """Show what BUNDLE is: its model, prompt, graph and fidelity. Checks its files."""
    from rlaif_fast.bundle import Bundle
    from rlaif_fast.home import find_bundle

    opened = Bundle(find_bundle(bundle))
    opened.verified()
    if as_json:
        click.echo(json.dumps(json.loads(opened.manifest.to_json()), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(opened.manifest):
        table.add_row(name, value)
    table.add_row("folder", str(opened.folder))
    Console(highlight=False, markup=False).print(table)


def _lines(manifest: Manifest) -> list[tuple[str, str]]:
    model, fidelity, counts = manifest.model, manifest.fidelity, manifest.passes
    megabytes = sum(f.bytes for f in manifest.files.values()) / 1e6
    layers = counts["fused_attention"] + counts["attention_of_judged"]
    norms = counts["fused_norms"] + counts["single_norms"]
    r = "" if fidelity.r is None else f", correlation {fidelity.r:.6f}"
    labels = zip(manifest.template.labels, manifest.label_ids, strict=True)
    error = f"mean {fidelity.mean:.2g}, p99 {fidelity.p99:.2g}, max {fidelity.max:.2g}"
    return [
        ("model", f"{model.id} ({model.architecture}, {model.parameters / 1e6:,.1f} M parameters)"),
        ("revision", model.revision or "-"),
        ("licence", model.licence or "unknown"),
        ("precision", manifest.precision),
        ("template", manifest.template.name),
        ("labels", ", ".join(f"{text!r} = token {token}" for text, token in labels)),
        ("context", f"{manifest.maximum_length:,} tokens, {len(manifest.prefix_ids)} of them baked into the graph"),
        ("fidelity", f"|difference in log-odds| {error}; flips {100 * fidelity.flips:.1f} %{r};"
                     f" against PyTorch fp32 on {fidelity.prompts}"),
        ("attention", f"{counts['fused_attention']} of {layers} layers fused (GroupQueryAttention);"
                      f" {counts['attention_of_judged']} computed for the judged positions only"),
        ("q, k, v", f"{counts['packed_qkv']} of {layers} layers in one product"),
        ("norms", f"{counts['fused_norms']} of {norms} fused with the residual addition"),
        ("operators", ", ".join(f"{n} {op}" for op, n in manifest.operators.items())),
        ("files", f"{megabytes:,.1f} MB, digests match"),
        ("made with", ", ".join(f"{name} {v}" for name, v in sorted(manifest.tools.items()))),
    ]  # fmt: skip
