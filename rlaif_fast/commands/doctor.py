"""``rlaif-fast doctor``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands.options import bundle_option

if TYPE_CHECKING:
    from rlaif_fast.bench.doctor import Finding, State

_STATUS: dict[State, int] = {"ok": 0, "broken": 1, "warning": 2}
_MARK = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "broken": ("BROKEN", "red")}


@click.command()
@bundle_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, bundle: str | None, as_json: bool) -> None:
    """Check that this machine can judge: processor, threads, memory, versions, cache folder, the bundle's self-test.

    The self-test judges the bundle's probe pairs and compares the answers with those stored at export. Exit status: 0
    ready, 2 works with warnings, 1 broken.
    """
    try:
        from rlaif_fast.bench.doctor import examine, worst
    except ImportError as error:  # what is to be found out
        raise click.ClickException(
            f"the runtime is not whole ({error}); pip install --force-reinstall rlaif-fast"
        ) from None
    findings = list(examine(bundle))
    state = worst(findings)
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps({"state": state, "findings": [asdict(f) for f in findings]}))
    else:
        _print(findings, state)
    context.exit(_STATUS[state])


def _print(findings: list[Finding], state: State) -> None:
    from rich.text import Text

    from rlaif_fast.reports.console import stdout
    from rlaif_fast.reports.tables import listing
    from rlaif_fast.reports.terminal import cell

    rows = []
    for finding in findings:
        text, colour = _MARK[finding.state]
        told = Text(cell(finding.found))
        if finding.advice:
            told.append(f"\n{cell(finding.advice)}", style=colour)
        rows.append((Text(text, style=colour), finding.name, told))
    console = stdout()
    console.print(listing(rows))
    console.print({"ok": "ready", "warning": "works, with warnings", "broken": "broken"}[state])
