"""A report as one page: no script, nothing loaded from elsewhere, light and dark by the reader's setting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from rlaif_fast.reports.page_style import STYLE
from rlaif_fast.reports.tables import INTERVAL, Table, printable

_NARROW = 30  # letters of a table's columns that fit beside one another, and beside its rows' names, on a phone
_LONG = 24  # letters of a cell that is a name
_UNIT = re.compile(r"(?<=\d) (?=%|s\b|ms\b|MB\b|\w+/s\b)")


class Tile(NamedTuple):
    """A figure that is looked for first; ``spread`` is its interval, in words."""

    what: str
    figure: str
    spread: str = ""


def page(
    title: str,
    *,
    made_by: str,
    where: str,
    warnings: Iterable[str],
    tiles: Iterable[Tile],
    figures: Iterable[str],
    tables: Iterable[Table],
    command: str,
    conclusion: str = "",
    examples: Iterable[str] = (),
) -> str:
    """A page that is well-formed XML as well, so that anything can read it.

    Args:
        title: which model, through which prompt, on what.
        made_by: the command's name, above the title.
        where: what was looked at, in a sentence.
        figures: made by :func:`figure`.
        conclusion: what follows from all of it, where something does.
        examples: made by :func:`example`.
    """
    body = "\n".join(
        [
            f'<p class="muted">{safe(made_by)}</p>\n<h1>{safe(title)}</h1>\n<p class="muted">{safe(where)}</p>',
            *([f'<p class="lead">{safe(_sentence(conclusion))}</p>'] if conclusion else []),
            *(f'<p class="warning"><strong>Warning:</strong> {safe(warning)}</p>' for warning in warnings),
            *_block("tiles", map(_tile, tiles)),
            *_block("plots", figures),
            *map(_table, tables),
            *(["<h2>Examples</h2>", *shown] if (shown := [*examples]) else []),
            f"<h2>Command</h2>\n<pre>{safe(command)}</pre>",
        ]
    )
    return _PAGE.format(title=safe(title), made_by=safe(made_by), style=STYLE, body=body)


def figure(title: str, plot: str, caption: str) -> str:
    return f"<figure><h2>{safe(_sentence(title))}</h2>\n{plot}\n<figcaption>{safe(caption)}</figcaption></figure>"


def example(title: str, texts: Iterable[tuple[str, str]]) -> str:
    """A pair: what is said of it, and its texts by their names."""
    listed = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in texts)
    return f"<section><h3>{safe(title)}</h3><dl>{listed}</dl></section>"


def safe(value: object) -> str:
    """Text of anyone's as XML takes it."""
    return escape(printable(value))


def _block(css: str, parts: Iterable[str]) -> Iterator[str]:
    if inside := "".join(parts):
        yield f'<div class="{css}">{inside}</div>'


def _tile(tile: Tile) -> str:
    spread = f" <small>{safe(tile.spread)}</small>" if tile.spread else ""
    return f'<div class="tile"><p><b>{safe(tile.figure)}</b>{spread}</p><span>{safe(_sentence(tile.what))}</span></div>'


def _table(table: Table) -> str:
    """A column of intervals is no column of its own here: an interval stands beside its value."""
    columns = [column for column in table.columns if column != INTERVAL]
    head = "".join(f'<th scope="col">{cell}</th>' for cell in _joined(table.columns, table.columns))
    rows = "\n".join(
        f'<tr><th scope="row">{_cell(name)}</th>'
        + "".join(
            f'<td data-column="{safe(column)}"{_long(cell)}>{cell}</td>'
            for column, cell in zip(columns, _joined(table.columns, cells), strict=True)
        )
        + "</tr>"
        for name, *cells in table.rows
    )
    widths = [max(map(len, cells)) for cells in zip(table.columns, *(cells for _, *cells in table.rows), strict=True)]
    shown = sum(width for column, width in zip(table.columns, widths, strict=True) if column != INTERVAL)
    css = ' class="broad"' if shown > _NARROW else ""
    return (
        f"<h2>{safe(_sentence(table.title))}</h2>\n<table{css}>\n<thead><tr><td></td>{head}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table>"
    )


def _joined(columns: Iterable[str], cells: Iterable[str]) -> list[str]:
    found: list[str] = []
    for column, cell in zip(columns, cells, strict=True):
        if column != INTERVAL:
            found.append(_cell(cell))
        else:
            found[-1] += f" <small>{'' if cell == '-' else _cell(cell)}</small>"
    return found


def _long(cell: str) -> str:
    """A name goes over several lines, a figure does not."""
    return ' class="long"' if len(cell) > _LONG and "<small>" not in cell else ""


def _cell(text: str) -> str:
    """A number keeps its unit on its line."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", safe(text))


def _sentence(text: str) -> str:
    """Headings are written as sentences are."""
    return text[:1].upper() + text[1:]


# The policy makes the browser itself refuse whatever would be loaded.
_PAGE = """<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>{title}: {made_by}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
