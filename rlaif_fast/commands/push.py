"""``rlaif-fast push``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("bundle")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--revision", "--branch", "branch", metavar="BRANCH", help="Push to this branch; it is made where it is"
              " not there. [default: main]")  # fmt: skip
@click.option("--speed", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="Put a"
              " measured speed into the model card: FILE is what `bench --json` wrote for this bundle.")  # fmt: skip
@click.option("--card", "only_card", is_flag=True, help="Print the model card and push nothing.")
def push(
    bundle: str, repository: str, private: bool, branch: str | None, speed: Path | None, only_card: bool
) -> None:  # fmt: skip
    """Publish BUNDLE on the Hugging Face hub as OWNER/NAME, with a model card made from its manifest.

    Needs a token that may write (HF_TOKEN, or `hf auth login`). Prints what -b of any command takes to judge with
    exactly this bundle anywhere: OWNER/NAME@COMMIT.
    """
    from rlaif_fast.bench.published import speed_of
    from rlaif_fast.bundle.card import model_card
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import find_bundle
    from rlaif_fast.bundle.hub import Published
    from rlaif_fast.bundle.upload import push as publish
    from rlaif_fast.reports.terminal import say

    name = f"{repository}@{branch}" if branch else repository
    to = Published.of(name)
    if to is None or "@" in repository:
        raise click.UsageError(f"{name}: no name of the hub; give OWNER/NAME, and a branch with --revision")
    folder = find_bundle(bundle)
    manifest = read_manifest(folder)
    card = model_card(manifest, repository, speed_of(speed, manifest) if speed else "")
    if only_card:
        click.echo(card, nl=False)
        return
    commit = publish(folder, to, card, private=private, say=say)
    click.echo(f"{repository}@{commit}")
