"""``rlaif-fast eval --suite``: several labelled files, or several judges, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rlaif_fast.commands.labelled import Labelled
    from rlaif_fast.evaluation.suite import SuiteReport, Verdicts


def report_on_suite(
    name: str, files: Sequence[str], read: Sequence[Labelled], bundles: Sequence[str], template: str | None,
    on_long: str, threads: int, command: str,
) -> SuiteReport:  # fmt: skip
    """Judge what is to be judged, and report.

    Args:
        read: what the files hold.

    Raises:
        UsageError: a file or a bundle twice, verdicts beside pairs, or with a bundle or template that judges nothing.
    """
    from rlaif_fast.commands.default import bundle_folder_of, require_bundle
    from rlaif_fast.commands.labelled import judged, loaded, said_of
    from rlaif_fast.evaluation.suite import Verdicts, evaluate_suite
    from rlaif_fast.judging.judge import Judge

    titles = _titles(files, read)
    given = [path for path, one in zip(files, read, strict=True) if one.verdicts is not None]
    if given and len(given) < len(files):
        raise click.UsageError(
            f"--suite takes pairs or verdicts, and {given[0]} holds verdicts: judge the others first"
        )
    if given and (bundles or template):
        what, does = ("-b", "judges pairs") if bundles else ("--template", "is a prompt to judge pairs with")
        raise click.UsageError(f"{what} {does}, and {given[0]} holds verdicts; leave it out")
    for wanted in bundles:  # all of them, before the first judges
        require_bundle(wanted, template, Judge.kinds)
    folders = [bundle_folder_of(bundle).resolve() for bundle in bundles]
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise click.UsageError(f"-b {bundles[number]} is given twice")
    found: list[Verdicts] = []
    judges: list[dict[str, Any]] = []
    if given:
        found = [
            Verdicts(title, None, one.verdicts or [], one.left_out) for title, one in zip(titles, read, strict=True)
        ]
    for bundle in () if given else bundles or (None,):
        judge = loaded(bundle, template, threads)
        said = said_of(judge)
        if any(said["name"] == one["name"] for one in judges):  # two bundles of one model
            said["name"] += f", {bundle}"
        judges.append(said)
        for title, one in zip(titles, read, strict=True):
            records = judged(judge, one.pairs or [], on_long, f"{said['name']} on {title}")
            found.append(Verdicts(title, said["name"], records, one.left_out, not judge.manifest.by_rewards))
        del judge  # one model at a time in memory
    return evaluate_suite(name, found, command=command, judges=judges)


def _titles(files: Sequence[str], read: Sequence[Labelled]) -> list[str]:
    """The files' names, with their folders where two have the same. Raises UsageError where two are the same file."""
    places = [
        one.name if path == "-" or "://" in path else realpath(path) for path, one in zip(files, read, strict=True)
    ]
    for number, (path, place) in enumerate(zip(files, places, strict=True)):
        if place in places[:number]:
            raise click.UsageError(f"{path} is given twice")
    names = [one.title for one in read]
    return [name if names.count(name) == 1 else path for path, name in zip(files, names, strict=True)]


def show_suite(
    report: SuiteReport, json_file: Path | None, markdown_file: Path | None, html_file: Path | None
) -> None:  # fmt: skip
    """Write it and print it."""
    from rlaif_fast.commands.reports import write_reports
    from rlaif_fast.reports.tables import print_tables

    def page() -> str:
        from rlaif_fast.evaluation.suite_html import suite_page

        return suite_page(report)

    write_reports(((json_file, report.to_json), (markdown_file, report.to_markdown), (html_file, page)))
    print_tables(report.title, report.tables(), report.warnings, report.where)
