"""The report as one page: no script, nothing loaded from elsewhere, light and dark by the reader's setting."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from rlaif_fast.agreement import flipped
from rlaif_fast.bench.plots import latency_plot, margin_plot, scatter_plot
from rlaif_fast.bench.report import Report, Table


def to_html(report: Report) -> str:
    """A page that is well-formed XML as well, so that anything can read it."""
    body = "\n".join(
        [
            f"<h1>{escape(report.title)}</h1>",
            f'<p class="muted">{escape(report.where)}</p>',
            *(f'<p class="warning">{escape(warning)}</p>' for warning in report.warnings),
            f'<div class="tiles">{"".join(_tile(*tile) for tile in _tiles(report))}</div>',
            *_figures(report),
            *(_table(table) for table in report.tables()),
            f"<h2>command</h2>\n<pre>{escape(report.command)}</pre>",
        ]
    )
    return _PAGE.format(title=escape(report.title), style=_STYLE, body=body)


def _tiles(report: Report) -> Iterator[tuple[str, str]]:
    """(what, figure) of what is looked for first."""
    if report.speedup is not None:
        yield "times as fast as PyTorch fp32", f"{report.speedup.of_medians:.2f}"
    yield "median latency a pair", f"{report.latency.median_ms:,.0f} ms"
    if report.agreement is not None:
        yield "labels flipped", f"{report.agreement.flips} of {report.set['pairs']}"
        yield "largest difference in log-odds", f"{report.agreement.max:.2g}"
    if report.work.share_of_rate is not None:
        yield "of the machine's matrix rate", f"{100 * report.work.share_of_rate:.0f} %"
    yield "cold start", f"{report.fresh.start_s:.2f} s"
    if report.fresh.peak_mb is not None:
        yield "peak memory", f"{report.fresh.peak_mb:,.0f} MB"


def _figures(report: Report) -> Iterator[str]:
    arrays = report.pairs
    series = [("bundle", "bundle", np.array(arrays.bundle_ms).ravel())]
    if arrays.reference_ms is not None:
        series.append(("PyTorch fp32", "reference", np.array(arrays.reference_ms).ravel()))
    yield _figure(
        "Latency", latency_plot(series), "Each pair alone, both orders, text in, verdict out; the judges take turns."
    )
    if arrays.reference_log_odds is None or report.agreement is None:
        return
    ours, theirs = np.array(arrays.bundle_log_odds), np.array(arrays.reference_log_odds)
    flips = flipped(ours, theirs)
    yield _figure(
        "Log-odds against the reference", scatter_plot(arrays.id, theirs.mean(1), ours.mean(1), flips),
        "Order-averaged log-odds of response_0, one point a pair. On the diagonal both judges say the same;"
        f" a cross is a label that differs ({int(flips.sum())} of {len(flips)}).",
    )  # fmt: skip
    yield _figure(
        "Flips by margin", margin_plot(report.agreement.by_margin),
        "How sure the reference was of the pairs, and how many of their labels differ. A flip on the left is a"
        " coin that fell the other way; one on the right is an error.",
    )  # fmt: skip


def _tile(what: str, figure: str) -> str:
    return f'<div class="tile"><b>{escape(figure)}</b><span>{escape(what)}</span></div>'


def _figure(title: str, plot: str, caption: str) -> str:
    return f"<figure><h2>{escape(title)}</h2>\n{plot}\n<figcaption>{escape(caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in table.rows
    )
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="wide"><table>\n<thead><tr><td></td>{head}</tr></thead>\n'
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
<title>{title}: rlaif-fast bench</title>
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
  --bundle: #1f6feb; --reference: #c4620a; --flip: #b4156f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --ink: #e3e8ee; --muted: #97a3b0; --edge: #303842; --tile: #191f27;
    --bundle: #5b9dff; --reference: #f0954a; --flip: #ff6fb7; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 760px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 32px 0 8px; }
.muted, figcaption { color: var(--muted); font-size: 0.87rem; margin: 0; }
.warning { border-left: 4px solid var(--reference); padding: 2px 10px; margin: 12px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 20px 0; }
.tile { background: var(--tile); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: 0.82rem; }
figure { margin: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--muted); font: 11px system-ui, sans-serif; }
svg .axis { fill: var(--ink); }
.grid, .zero { stroke: var(--edge); }
.base, .diagonal { stroke: var(--muted); }
.diagonal, .median { stroke-dasharray: 4 3; }
rect.bundle { fill: var(--bundle); }
rect.reference { fill: var(--reference); }
rect.bar { fill-opacity: 0.75; }
rect.flipped { fill: var(--flip); fill-opacity: 1; }
line.bundle { stroke: var(--bundle); }
line.reference { stroke: var(--reference); }
svg text.bundle { fill: var(--bundle); }
svg text.reference { fill: var(--reference); }
.dot { fill: var(--bundle); fill-opacity: 0.6; }
.flip { stroke: var(--flip); stroke-width: 2; fill: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--edge); text-align: right; }
th[scope=row] { text-align: left; font-weight: 400; }
thead th { color: var(--muted); font-weight: 600; font-size: 0.87rem; }
pre { background: var(--tile); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
"""
