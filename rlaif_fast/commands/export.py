"""``rlaif-fast export``."""

from __future__ import annotations

from pathlib import Path

import click

from rlaif_fast.errors import ExportError


@click.command()
@click.argument("model")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The bundle's folder. [default: in the cache folder]"
)
@click.option("--precision", type=click.Choice(["fp32"]), default="fp32", show_default=True, help="Of the weights.")
@click.option("--template", default="summary", show_default=True, help="The prompt the bundle is made for.")
@click.option("--revision", help="Branch, tag or commit of a hub model.")
@click.option("--force", is_flag=True, help="Replace the output folder where it exists.")
def export(model: str, output: Path | None, precision: str, template: str, revision: str | None, force: bool) -> None:
    """Convert MODEL, once, into a bundle that judges without PyTorch.

    MODEL is a Hugging Face hub id (microsoft/phi-1_5), a model folder, a .gguf file, or
    smollm2-135m-instruct, the embedded default. Hub models are read through huggingface_hub: its token,
    cache and environment variables apply. The bundle is verified against PyTorch before it is kept, and its
    path is the last line on standard output.
    """
    from rlaif_fast.console import Steps
    from rlaif_fast.home import bundle_folder
    from rlaif_fast.template import template_named

    chosen = template_named(template)
    folder = output or bundle_folder(model, precision, template, revision)
    if folder.exists() and not force:  # said before seconds of imports
        raise ExportError(f"{folder}: exists already, give --force to replace it or another folder with -o")
    try:
        from rlaif_fast_export.exporter import export_bundle
        from rlaif_fast_export.quiet import quiet_libraries
        from rlaif_fast_export.sources import find_source
    except ImportError as error:
        raise ExportError(
            f"the exporter is not installed ({error.name} is missing); pip install 'rlaif-fast[export]'"
        ) from error
    quiet_libraries()
    with Steps().shown() as steps:
        source = find_source(model, revision)
        path = export_bundle(source, folder, chosen, force=force, progress=steps)
    click.echo(str(path))
