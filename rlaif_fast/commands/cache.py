"""``rlaif-fast cache``."""

from __future__ import annotations

import os
import sys

import click

from rlaif_fast.commands.slips import Group


@click.group(cls=Group)
def cache() -> None:
    """Show the cache folder and its contents, and remove things from it."""


@cache.command()
def path() -> None:
    """Print the cache folder's path. RLAIF_FAST_HOME moves it."""
    from rlaif_fast.bundle.home import home

    click.echo(os.fsencode(home()))


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; sizes are in bytes, times in seconds since 1970.")
def list_(as_json: bool) -> None:
    """List the contents of the cache folder: name, size, time of creation, time of last use."""
    from rlaif_fast.bundle.cache import entries
    from rlaif_fast.reports.terminal import echo

    found = entries()
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(entry) | {"path": str(entry.path)} for entry in found]))
        return
    for entry in found:
        figures = f"{megabytes(entry.bytes):>12}  made {_day(entry.made)}  read {_day(entry.used)}"
        echo(f"{figures}  {entry.name}: {entry.kind}, {entry.what}")
    echo(f"{megabytes(sum(entry.bytes for entry in found)):>12}  together")


@cache.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove everything that `cache list` shows.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(names: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Remove things from the cache folder, by the NAMEs that `cache list` shows.

    Asks first. Refuses what a process has open. Of a link only the link is removed, not what it points to.
    """
    from rlaif_fast.bundle import cache as folder
    from rlaif_fast.bundle.names import nearest
    from rlaif_fast.errors import BundleError, escaped
    from rlaif_fast.reports.terminal import fitting, say

    if everything == bool(names):
        raise click.UsageError("give names, as `rlaif-fast cache list` shows them, or --all")
    there = {entry.name: entry for entry in folder.entries()}
    unknown = [name for name in names if name not in there]
    if unknown:
        meant = nearest(unknown[0], there)
        more = "`rlaif-fast cache list` shows what there is"
        raise BundleError(
            f"no {unknown[0]!r} in the cache folder; {f'did you mean {meant}? ({more})' if meant else more}"
        )
    chosen = list(there.values()) if everything else [there[name] for name in dict.fromkeys(names)]
    if not chosen:
        say("the cache folder is empty")
        return
    listed = ", ".join(f"{entry.name} ({megabytes(entry.bytes)})" for entry in chosen)
    if not yes:
        try:
            click.confirm(fitting(escaped(f"remove {listed}?"), sys.stderr), abort=True, err=True)
        except click.Abort as error:
            say("")  # the question's line has no end yet
            if sys.stdin is None or not sys.stdin.isatty():
                raise click.UsageError("nothing was removed: not confirmed; --yes removes without asking") from error
            raise
    for entry in chosen:
        folder.remove(entry)
        say(f"removed {entry.name}, {megabytes(entry.bytes)}")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _day(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
