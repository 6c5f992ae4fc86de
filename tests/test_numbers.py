"""Options that take a number."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from rlaif_fast.cli import cli


def _ranges(command: click.Command) -> Iterator[click.ParamType]:
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from _ranges(one)
    yield from (one.type for one in command.params if isinstance(one.type, click.FloatRange))


def test_nan_is_in_no_range() -> None:
    found = [*_ranges(cli)]
    assert len(found) > 9
    for one in found:
        with pytest.raises(click.BadParameter, match="nan is not a number"):
            one.convert("nan", None, None)
        assert one.convert("0.5", None, None) == 0.5
