"""A report as one page: no script, nothing loaded from elsewhere, light and dark by the reader's setting."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rlaif_fast.reports.tables import Table, printable


def page(
    title: str,
    *,
    made_by: str,
    where: str,
    warnings: Iterable[str],
    tiles: Iterable[tuple[str, str]],
    figures: Iterable[str],
    tables: Iterable[Table],
    command: str,
) -> str:
    """A page that is well-formed XML as well, so that anything can read it.

    Args:
        made_by: the command's name, behind the title.
        where: what was looked at, in a sentence.
        tiles: (what, figure) of what is looked for first.
        figures: made by :func:`figure`.
    """
    body = "\n".join(
        [
            f"<h1>{safe(title)}</h1>",
            f'<p class="muted">{safe(where)}</p>',
            *(f'<p class="warning">{safe(warning)}</p>' for warning in warnings),
            f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>',
            f'<div class="plots">{"".join(figures)}</div>',
            *map(_table, tables),
            f"<h2>command</h2>\n<pre>{safe(command)}</pre>",
        ]
    )
    return _PAGE.format(title=safe(title), made_by=safe(made_by), style=_STYLE, body=body)


def figure(title: str, plot: str, caption: str) -> str:
    return f"<figure><h2>{safe(title)}</h2>\n{plot}\n<figcaption>{safe(caption)}</figcaption></figure>"


def safe(value: object) -> str:
    """Text of anyone's as XML takes it."""
    return escape(printable(value))


def _tile(what: str, figure: str) -> str:
    return f'<div class="tile"><b>{safe(figure)}</b><span>{safe(what)}</span></div>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{safe(column)}</th>' for column in table.columns)
    rows = "\n".join(
        f'<tr><th scope="row">{safe(name)}</th>{"".join(f"<td>{safe(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in table.rows
    )
    return (
        f'<h2>{safe(table.title)}</h2>\n<div class="wide"><table>\n<thead><tr><td></td>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


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

# Blue, orange and magenta keep apart for every kind of colour blindness, on white and on black.
_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --muted: #59636e; --edge: #d5dae0; --tile: #f5f7f9;
  --one: #1f6feb; --two: #c4620a; --mark: #b4156f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --ink: #e3e8ee; --muted: #97a3b0; --edge: #303842; --tile: #191f27;
    --one: #5b9dff; --two: #f0954a; --mark: #ff6fb7; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 920px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 32px 0 8px; }
.muted, figcaption { color: var(--muted); font-size: 0.87rem; margin: 0; }
.warning { border-left: 4px solid var(--two); padding: 2px 10px; margin: 12px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 20px 0; }
.tile { background: var(--tile); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: 0.82rem; }
figure { margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 8px 24px; }
svg { width: 100%; max-width: 480px; height: auto; display: block; }
svg path { stroke-linejoin: round; }
svg text { font-family: system-ui, sans-serif; paint-order: stroke; stroke: var(--page); stroke-width: 3px; }
.dot circle { opacity: 0.7; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--edge); text-align: right; }
th[scope=row] { text-align: left; font-weight: 400; }
thead th { color: var(--muted); font-weight: 600; font-size: 0.87rem; }
pre { background: var(--tile); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
"""
