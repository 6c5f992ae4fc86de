"""What is said of a command or an option that there is not: the one that was meant, where it is near."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from rlaif_fast.wording import meant, near


class Group(click.Group):
    """A group that names the command that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:  # fmt: skip
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"No such command '{args[0]}'.{_meant(near(args[0].lower(), self.list_commands(ctx)))}")
        return super().resolve_command(ctx, args)


def message_of(error: click.UsageError) -> str:
    """The error's own words, but of an option that there is not: click suggests what is only a little alike."""
    if isinstance(error, click.BadParameter) and error.param is not None and isinstance(error.param.type, click.Choice):
        return _with_choice(error.format_message(), error.param.type.choices)
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    options = [one for one in error.ctx.command.params if isinstance(one, click.Option)] if error.ctx else []
    names = [name.lstrip("-") for one in options if not one.hidden for name in one.opts if name.startswith("--")]
    found = near(error.option_name.lstrip("-").replace("_", "-").lower(), names)
    return f"No such option '{error.option_name}'.{_meant(found and f'--{found}')}"


def _with_choice(message: str, choices: Sequence[str]) -> str:
    """What click says of a value that is not among ``choices``, with the one that was meant in place of the stop."""
    given = re.search(r": '(.*)' is not one of ", message)
    found = meant(given[1], choices) if given else ""
    return message.rstrip(".") + found if found else message


def _meant(name: str | None) -> str:
    return f" Did you mean '{name}'?" if name else ""
