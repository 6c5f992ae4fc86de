"""``rlaif-fast select``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.options import (
    bundle_option,
    columns,
    give_way,
    kind_option,
    limit_option,
    long_option,
    nice_option,
    part_of,
    threads_option,
)

if TYPE_CHECKING:
    from rlaif_fast.files.source import Part
    from rlaif_fast.rows.pairs import Pair
    from rlaif_fast.schemas.human_labels import LeftOut

_FILE = click.Path(dir_okay=False, path_type=Path)
_MOST = 64  # examples


class _Shots(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click only
    """Numbers of examples, as in 0,2,4."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            found = sorted({int(part) for part in value.split(",")})
        except ValueError:
            found = [-1]
        if not 0 <= found[0] <= found[-1] <= _MOST:
            self.fail(f"{value!r}: give numbers from 0 to {_MOST}, as in 0,2,4", param, ctx)
        return tuple(found)


@click.command(cls=Command)
@click.argument("labelled", type=click.Path(allow_dash=True))
@bundle_option
@option("Judging", "--against", metavar="NAME", help="The bundle's prompt to compare with. [default: the"
        " first]")  # fmt: skip
@option("Prompt", "--template", "templates", multiple=True, metavar="NAME|FILE", help="A prompt to try: the"
        " name of a built-in one, or your own .toml file. Repeatable. [default: the built-in ones and the bundle's]"
        )  # fmt: skip
@option("Prompt", "--chat", type=click.Choice(["both", "yes", "no"]), default="both", show_default=True,
        help="Wrap the prompts in the model's chat template. both: try each with and without.")  # fmt: skip
@option("Prompt", "--shots", type=_Shots(), default="0,2,4,8", show_default=True,
        help="Numbers of few-shot examples, taken from LABELLED, to try with the best prompt.")  # fmt: skip
@long_option
@option(
    "Input",
    "--model",
    help="MODEL that the bundle was exported from, as `export` takes it. [default: the one the bundle names]",
)
@option("Input", "--trust-remote-code", is_flag=True, help="Run Python code that comes with the model; it can do what"
        " you can.")  # fmt: skip
@option("Input", "--fields", help="Field mapping, as in `judge`.")
@kind_option
@columns
@limit_option
@threads_option
@nice_option
@option("Output", "--profile", "profile_file", type=_FILE, help="Write the recommendation as a file for"
        " `judge --profile`. Without a recommendation no file is written.")  # fmt: skip
@option("Output", "--json", "json_file", type=_FILE, help="Write all figures, and the data behind them, as JSON.")
@option("Output", "--html", "html_file", type=_FILE, help="Write a report with plots as one HTML file.")
@click.pass_context
def select(
    context: click.Context, labelled: str, bundle: str | None, against: str | None, templates: tuple[str, ...],
    chat: Literal["both", "yes", "no"], shots: tuple[int, ...], on_long: str, model: str | None,
    trust_remote_code: bool, fields: str | None, kind: str | None, split: str | None, config: str | None,
    revision: str | None, carry: tuple[str, ...], limit: int | None, threads: int, nice: int | None,
    profile_file: Path | None, json_file: Path | None, html_file: Path | None,
) -> None:  # fmt: skip
    """Find the prompt that agrees best with people on LABELLED, your own pairs.

    LABELLED is as in `eval`. Its instructions are split into a selection set and a test set. On the selection set the
    candidates are compared with the bundle's prompt, pair by pair: built-in prompts (or those you name), with and
    without chat template, with and without few-shot examples, in both orders or one. Clearly worse ones are dropped
    early. The best one is tested once on the test set. It is recommended, and added to the bundle, only if it is better
    on both sets, corrected for the number of candidates. Prompts that the bundle lacks need the exporter.

    Answers are kept in the cache folder: an interrupted run resumes with the same command.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.reports import INTERVALS, PLOTS, check_reports, command_line, require_eval, write_reports
    from rlaif_fast.errors import resumable
    from rlaif_fast.files.targets import write_text
    from rlaif_fast.reports.console import Steps
    from rlaif_fast.reports.tables import print_tables
    from rlaif_fast.reports.terminal import echo, say
    from rlaif_fast.selection.selector import Selector
    from rlaif_fast.selection.trial import Trial

    check_reports(
        {"--profile": profile_file, "--json": json_file, "--html": html_file}, [labelled, *templates]
    )  # fmt: skip
    require_eval("select", INTERVALS)
    if html_file is not None:
        require_eval("select --html", PLOTS)
    name, pairs, left_out = _read(labelled, kind, fields, part_of(split, config, revision), carry, limit)
    selector = Selector(name, pairs, left_out, shots=list(filter(None, shots)), shorten=on_long == "truncate")
    folder = bundle_folder_of(bundle)
    with resumable("interrupted; what was read is kept, the same command resumes"), Steps().shown() as steps:
        steps("opening the bundle", 0)
        spin = not give_way(nice)
        trial = Trial(folder, against, threads=threads, spin=spin, model=model, trusted=trust_remote_code)
        with trial:
            chosen = selector.run(trial, templates, chat, steps)
            found = selector.report(trial, chosen, command_line(context))
            profile = selector.profile(trial, chosen, bundle, found.command) if found.recommended else None
            if profile is not None:
                trial.kept.add(profile.prompt)

    def page() -> str:
        from rlaif_fast.selection.html import to_html

        return to_html(found)

    write_reports(((json_file, found.to_json), (html_file, page)))
    if profile_file is not None and profile is not None:
        write_text(profile_file, profile.to_json())
    print_tables(found.title, found.tables(), found.warnings, found.where)
    echo(found.conclusion)
    if profile is not None and profile.prompt not in trial.there:
        say(f"{profile.prompt} was put into {folder}")
    if profile_file is not None:
        told = f"was not written: {found.conclusion.partition(':')[0]}" if profile is None else "judges so, as in:"
        more = "" if profile is None else f" rlaif-fast judge PAIRS --profile {profile_file}"
        say(f"{profile_file} {told}{more}")


def _read(
    labelled: str, kind: str | None, fields: str | None, part: Part, carry: Sequence[str], limit: int | None
) -> tuple[str, list[Pair], LeftOut]:
    """(name of the source, its labelled pairs, what was left out). Raises RlaifFastError."""
    from rlaif_fast.evaluation.labelled import labelled as with_labels
    from rlaif_fast.evaluation.records import nothing_labelled
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import open_pairs
    from rlaif_fast.schemas.human_labels import LeftOut

    left_out = LeftOut()
    with open_pairs(labelled, kind, fields, say, part=part, carry=carry) as intake:
        pairs = list(with_labels(islice(intake.pairs(), limit), left_out))
        if not pairs:
            raise nothing_labelled(intake.name, left_out)
    return intake.title, pairs, left_out
