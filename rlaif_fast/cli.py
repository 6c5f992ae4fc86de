"""The command line: the group, and errors as one line."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import suppress

import click

from rlaif_fast.commands.bench import bench
from rlaif_fast.commands.cache import cache
from rlaif_fast.commands.diff import diff
from rlaif_fast.commands.doctor import doctor
from rlaif_fast.commands.eval import evaluate
from rlaif_fast.commands.export import export
from rlaif_fast.commands.inspect import inspect
from rlaif_fast.commands.judge import judge
from rlaif_fast.commands.list import list_
from rlaif_fast.commands.prompt import prompt
from rlaif_fast.commands.push import push
from rlaif_fast.commands.rank import rank
from rlaif_fast.commands.score import score
from rlaif_fast.commands.select import select
from rlaif_fast.commands.serve import serve
from rlaif_fast.commands.slips import Group, message_of
from rlaif_fast.commands.template import template
from rlaif_fast.commands.tune import tune
from rlaif_fast.errors import REMEDY, RlaifFastError, lacks_memory
from rlaif_fast.reports.terminal import echo, say
from rlaif_fast.version import __version__


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="rlaif-fast %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error. May stand anywhere in the command.")
def cli(debug: bool) -> None:
    """Judge preference pairs with a causal language model, fast and faithful on a CPU.

    \b
      rlaif-fast judge pairs.jsonl -o verdicts.jsonl     judge with the embedded default model
      rlaif-fast export microsoft/phi-1_5                convert another model, once
      rlaif-fast judge pairs.jsonl -b microsoft/phi-1_5  judge with it
    """


for command in (
    export, prompt, judge, rank, score, serve, evaluate, select, diff, list_, inspect, tune, bench, template, doctor,
    cache, push,
):  # fmt: skip
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit status 0 done, 1 the work failed, 2 wrong usage."""
    _open_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    sys.exit(_run([a for a in arguments if a != "--debug"], debug))


def _open_streams() -> None:
    """Standard streams that take every character, and hold their places where they were closed.

    Else the next file that is opened would be descriptor 2, and a library's message would stand in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _command(arguments: list[str]) -> str:
    """The command that the arguments begin with: click does not say where an option has no value."""
    group: click.Group = cli
    found = ["rlaif-fast"]
    for name in arguments:
        command = group.get_command(click.Context(group), name)
        if command is None:
            break
        found.append(name)
        if not isinstance(command, click.Group):
            break
        group = command
    return " ".join(found)


def _run(arguments: list[str], debug: bool) -> int:
    try:
        status = int(cli.main(arguments, prog_name="rlaif-fast", standalone_mode=False) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()  # what fails here is said; behind us it would be Python's to say
        return status
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.format_message())
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else _command(arguments)
        return _fail(f"{message_of(error)} (see {command} --help)", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:  # who read us has enough (`| head`)
        _close_stdout()
        return 1
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # a reader's: click takes it for the end of someone's typing
            return _fail(_said(error.__cause__), 1)
        return _fail(str(error.__cause__ or "") or "interrupted", 130)
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of a Rust library is no Exception
        if debug:
            say(traceback.format_exc().rstrip())  # texts of rows in it as escapes, like everywhere
            _close_stdout()
            return 1
        return _fail(_said(error), 1)


def _said(error: BaseException) -> str:
    """What is said of an error in place of a traceback."""
    if isinstance(error, RlaifFastError):
        return str(error)
    if lacks_memory(error):
        return f"out of memory or threads ({str(error) or type(error).__name__}); {REMEDY}"
    if isinstance(error, OSError):  # a full disk, no permission: named by the system
        name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
        return f"{name or 'output'}: {error.strerror or error}"
    return f"{type(error).__name__}: {error}; nobody foresaw this, --debug shows where it came from: please report it"


def _fail(message: str, status: int) -> int:
    with suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
    say(f"error: {' '.join(message.split())}")
    _close_stdout()
    return status


def _close_stdout() -> None:
    """What could not be written is not tried again while Python ends, which would say so in its own words."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
