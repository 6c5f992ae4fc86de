"""How a page looks, from a phone's width on. Sizes of letters are 13 pixels or more, a tenth of a plot's less."""

from __future__ import annotations

# Blue, orange and magenta keep apart for every kind of colour blindness, on white and on black; each has a contrast of
# 4.5 to the page in both schemes, because plots write in them too.
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --muted: #59636e; --edge: #d5dae0; --tile: #f5f7f9;
  --one: #1f6feb; --two: #b3540a; --mark: #b4156f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --ink: #e3e8ee; --muted: #97a3b0; --edge: #303842; --tile: #191f27;
    --one: #5b9dff; --two: #f0954a; --mark: #ff6fb7; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  -webkit-text-size-adjust: 100%; }
main { max-width: 920px; margin: 0 auto; padding: 24px 16px 48px; }
p { margin: 0; }
h1 { font-size: clamp(1.2rem, 1rem + 1.4vw, 1.55rem); line-height: 1.3; margin: 2px 0 4px; overflow-wrap: anywhere;
  text-wrap: balance; }
h2 { font-size: 1.05rem; line-height: 1.35; margin: 36px 0 8px; overflow-wrap: anywhere; }
h3 { font-size: 1rem; font-weight: 600; margin: 16px 0 4px; overflow-wrap: anywhere; }
dl { margin: 0; border-left: 4px solid var(--edge); padding-left: 12px; }
dt { color: var(--muted); font-size: 0.87rem; }
dd { margin: 0 0 6px; overflow-wrap: anywhere; }
small { font-size: 0.87rem; font-weight: 400; color: var(--muted); white-space: nowrap; }
.lead { margin: 8px 0; overflow-wrap: anywhere; }
.muted, figcaption { color: var(--muted); font-size: 0.87rem; overflow-wrap: anywhere; }
.warning { border-left: 4px solid var(--two); padding: 2px 10px; margin: 12px 0 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(205px, 1fr)); gap: 10px;
  margin: 20px 0 0; }
.tile { background: var(--tile); border: 1px solid var(--edge); border-radius: 8px; padding: 8px 12px 10px; }
.tile b { font-size: 1.3rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; margin-right: 4px; }
.tile small { font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--muted); font-size: 0.87rem; line-height: 1.35; }
figure { margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 0 32px; }
svg { width: 100%; max-width: 480px; height: auto; display: block; margin-bottom: 4px; }
svg path { stroke-linejoin: round; }
svg text { font-family: system-ui, sans-serif; paint-order: stroke; stroke: var(--page); stroke-width: 3px; }
.dot circle { opacity: 0.8; }
table { border-collapse: collapse; min-width: min(100%, 560px); font-variant-numeric: tabular-nums; }
th, td { padding: 4px 0 4px 28px; border-bottom: 1px solid var(--edge); text-align: right; vertical-align: baseline; }
td { white-space: nowrap; }
td small, th small { display: inline-block; min-width: 11.5em; }
th[scope=row] { text-align: left; font-weight: 400; padding-left: 0; overflow-wrap: anywhere; min-width: 6em; }
thead th { color: var(--muted); font-weight: 600; font-size: 0.87rem; vertical-align: bottom; }
thead td { padding: 0; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 12em; }
pre { background: var(--tile); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px; margin: 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.87rem; }
@media (max-width: 559px) {
  .tiles { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
  table { width: 100%; }
  th, td { padding-left: 12px; }
  td { white-space: normal; }
  td.long { min-width: 0; }
  td small, th small { display: block; min-width: 0; }
  .broad, .broad tbody, .broad tr, .broad th { display: block; }
  .broad thead { display: none; }
  .broad tr { border-bottom: 1px solid var(--edge); padding: 6px 0; }
  .broad th, .broad td { border: 0; padding: 0; overflow-wrap: anywhere; }
  .broad th[scope=row] { font-weight: 600; }
  .broad td { display: flex; gap: 8px; align-items: baseline; }
  .broad td:empty { display: none; }
  .broad td::before { content: attr(data-column); color: var(--muted); margin-right: auto; } }
"""
