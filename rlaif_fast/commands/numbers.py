"""Numbers on the command line."""

from __future__ import annotations

from typing import Any

import click


class Range(click.FloatRange):
    """A float in a range. NaN is in none: it compares as neither too small nor too large, so click would take it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if found != found:
            self.fail(f"{value} is not a number.", param, ctx)
        return found
