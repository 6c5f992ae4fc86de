"""``rlaif-fast export``."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlaif_fast.commands import exporter
from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.numbers import Range
from rlaif_fast.commands.prompt_options import CHAT, named_templates, other_templates, prompt_options
from rlaif_fast.errors import ExportError, TemplateError
from rlaif_fast.files.targets import folder_of
from rlaif_fast.wording import counted

if TYPE_CHECKING:
    from rlaif_fast.prompts.kinds import Askable
    from rlaif_fast.rows.pairs import Pair

_CALIBRATION = 256  # pairs of a file: each takes a forward and a backward pass or two


@click.command(cls=Command)
@click.argument("model")
@option("Input", "--revision", help="Branch, tag or commit of a hub model.")
@exporter.TRUST
@exporter.UNLISTED
@option("Prompt", "--template", "names", multiple=True, metavar="NAME|FILE", help="A prompt for the bundle: the"
        " name of a built-in one, or your own .toml file. Repeatable; the first becomes the bundle's default. [default:"
        " summary, and the other built-in prompts that add little time]")  # fmt: skip
@prompt_options
@CHAT
@option("Precision", "--precision", type=click.Choice(["auto", "int8", "fp32"]), default="auto", show_default=True,
        help="Precision of the linear layers. fp32 is exact. auto: int8 if it is at least 1.25 times as fast on this"
        " machine, or if memory is too small for fp32; fp32 for a bundle that only scores.")  # fmt: skip
@option("Precision", "--quality", type=click.Choice(["auto", "best", "fast"]), default="auto", show_default=True,
        help="int8 quantisation. best: calibrated rounding (GPTQ) and mixed precision. fast: round to nearest, which is"
        " less faithful and judges more slowly. auto: best if it takes 15 minutes at most, else fast, and best where"
        " that is refused.")  # fmt: skip
@option("Precision", "--calibrate", type=click.Path(exists=True, dir_okay=False), help="Calibration pairs for int8;"
        " implies --precision int8. [default: texts that come with the exporter]")  # fmt: skip
@option("Precision", "--max-delta", type=Range(min=0, min_open=True), help="Largest mean |difference in"
        " log-odds| to PyTorch fp32 allowed for an int8 bundle; implies --precision int8. [default: 0.03]")  # fmt: skip
@option("Output", "-o", "--output", type=click.Path(path_type=Path), help="Folder for the bundle. [default: one in the"
        " cache folder]")  # fmt: skip
@option("Output", "--force", is_flag=True, help="Replace the output folder if it exists.")
@option("Other options", "-v", "--verbose", is_flag=True, help="List the tensors of MODEL's files that are not used.")
def export(
    model: str, output: Path | None, precision: str, quality: str, calibrate: str | None, max_delta: float | None,
    names: tuple[str, ...], exemplars: str | None, shots: int | None, chat: str, revision: str | None,
    trust_remote_code: bool, unlisted: bool, force: bool, verbose: bool,
) -> None:  # fmt: skip
    """Convert MODEL, once, into a bundle that judges without PyTorch.

    MODEL is a Hugging Face hub id (microsoft/phi-1_5), a model folder, a .gguf file, or smollm2-135m-instruct, the
    embedded default. A reward model (a sequence classifier with one label) needs no prompt. Hub models are read through
    huggingface_hub: its token, cache and environment variables apply. The bundle is verified against PyTorch before it
    is kept. Its path is the last line on standard output.
    """
    from rlaif_fast.bundle.editing import require_free
    from rlaif_fast.bundle.home import bundle_folder
    from rlaif_fast.commands.export_plan import Plan
    from rlaif_fast.prompts.built_in import DEFAULT
    from rlaif_fast.reports.console import Steps

    named = named_templates(names or [DEFAULT], exemplars, shots, chat)
    first: Askable | None
    first, *more = named.templates
    along = [] if names else other_templates([first.name])
    if calibrate or max_delta or quality != "auto":
        if precision == "fp32" or named.of_scores_alone:
            raise click.UsageError("--quality, --calibrate and --max-delta are for --precision int8")
        precision = "int8"
    if named.of_scores_alone and precision == "auto":
        precision = "fp32"

    output = None if output is None else folder_of(output)

    def free_folder(precision: str) -> Path:
        folder = output or bundle_folder(model, precision, revision)
        require_free(folder, force)
        return folder

    if output or precision != "auto":  # said before seconds of imports
        free_folder(precision)
    with exporter.needed():
        from rlaif_fast.runtime.selftest import FAITHFUL
        from rlaif_fast_export.estimate import shape_of
        from rlaif_fast_export.int8.options import Int8Options
        from rlaif_fast_export.precision import choose_precision
        from rlaif_fast_export.sources.quiet import quiet_libraries
        from rlaif_fast_export.sources.source import find_source
    quiet_libraries()
    with Steps().shown() as steps:
        source = find_source(model, revision, trusted=trust_remote_code, unlisted=unlisted)
        if unlisted and precision == "auto" and not source.listed:
            steps.say("precision: fp32, the only precision for a family that is not listed")
            precision = "fp32"
        if source.is_reward_model:
            if names or exemplars or shots:
                raise click.UsageError(
                    f"{source.name} is a reward model: it reads conversations through its own chat template alone;"
                    " leave --template, --exemplars and --shots out"
                )
            first, more, along = None, [], []
        in_chat = exporter.in_chat(chat, source)
        wanted, settled = precision, True  # settled: where it is refused, nothing else will do
        if precision == "auto":
            choice = choose_precision(source, steps)
            wanted, settled = choice.precision, choice.precision == "fp32" or choice.needed
            steps.say(choice.why)

        shape = shape_of(source, scores=named.of_scores_alone)
        best = Int8Options(_pairs(calibrate), max_delta or FAITHFUL)  # type: ignore[arg-type]  # None is allowed
        plan = Plan(source, shape, first, more, along, in_chat, best, quality, free_folder, force, steps)
        try:
            path = plan.make(wanted, settled)
        except TemplateError as error:
            raise named.located(error) from None
        for note in source.notes:
            steps.say(note)
        if unused := source.unused:
            which = ", ".join(unused) if verbose else f"{unused[0]}, ... (--verbose names all)"
            are = "is" if len(unused) == 1 else "are"
            steps.say(
                f"{counted(len(unused), 'tensor')} of the files {are} computed from the configuration instead: {which}"
            )
    click.echo(os.fsencode(path))


def _pairs(path: str | None) -> list[Pair] | None:
    from rlaif_fast.rows.reader import open_pairs

    if path is None:
        return None
    with open_pairs(path) as intake:
        found = list(islice(intake.pairs(), _CALIBRATION))
    if not found:
        raise ExportError(f"{path}: no rows; give pairs to calibrate on")
    return found
