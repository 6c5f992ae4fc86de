"""What is said of a command or an option that there is not: the one that was meant, where it is near."""

from __future__ import annotations

import click

from rlaif_fast.wording import near


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
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    options = [one for one in error.ctx.command.params if isinstance(one, click.Option)] if error.ctx else []
    names = [name.lstrip("-") for one in options if not one.hidden for name in one.opts if name.startswith("--")]
    found = near(error.option_name.lstrip("-").replace("_", "-").lower(), names)
    return f"No such option '{error.option_name}'.{_meant(found and f'--{found}')}"


def _meant(name: str | None) -> str:
    return f" Did you mean '{name}'?" if name else ""
