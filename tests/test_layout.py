"""Pages as a browser lays them out, on a phone and on a desk, light and dark: what tests/layout.js finds wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from tests import report_pages
from tests.browser import Page, find_browser, opened
from tests.conftest import ROOT

SCRIPT = (ROOT / "tests/layout.js").read_text(encoding="utf-8")
VIEWS = [*product((390, 1280), (False, True))]  # width, dark
# Where screenshots are kept: RLAIF_FAST_SCREENSHOTS=FOLDER python -m pytest tests/test_layout.py
SCREENSHOTS = os.environ.get("RLAIF_FAST_SCREENSHOTS")

# Everything that the script looks for, once.
BAD = """<!DOCTYPE html><html><head><meta name="viewport" content="width=device-width"/></head>
<body style="background: #fff; color: #000; margin: 0"><main>
<p style="font-size: 10px">tiny</p>
<p style="color: #888">pale</p>
<p style="opacity: 0.5">faint</p>
<div style="width: 2000px">far</div>
<div style="width: 50px; overflow-x: auto; white-space: nowrap">something that has to be scrolled</div>
<p style="position: relative; top: -2em">above another</p>
<svg viewBox="0 0 400 100" style="width: 100px; display: block"><text x="5" y="20" font-size="20">shrunk</text>
<text x="380" y="60" font-size="80">outside</text><g class="dot"><circle cx="9" cy="9" r="9" fill="#ddd"/></g></svg>
</main></body></html>"""
FOUND = {
    "the page is": "wide in a window", '"tiny"': "letters of 10.0 pixels", '"shrunk"': "letters of 5.0 pixels",
    '"pale"': "a contrast of 3.5", '"faint"': "a contrast of 3.", "div.": "pixels in 50",
    '"outside"': "lies outside of its drawing", '"above another"': " lies on ", "a mark of dot": "a contrast of 1.3",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium or Chrome is installed (apt-get install chromium)")
    with opened(found, tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("name", report_pages.PAGES)
def test_a_page_can_be_read(browser: Page, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name.replace(' ', '-')}.html"
    path.write_text(report_pages.PAGES[name](), encoding="utf-8")
    browser.open(path)
    for width, dark in VIEWS:
        browser.view(width, dark=dark)
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            picture = Path(SCREENSHOTS, f"{path.stem}-{width}-{'dark' if dark else 'light'}.png")
            picture.write_bytes(browser.screenshot())
        found = browser.evaluate(SCRIPT)
        assert found["wrong"] == [], f"{width} pixels, {'dark' if dark else 'light'}"
        assert found["texts"] > 20 and found["width"] == width and found["dark"] == dark


def test_what_is_wrong_is_found(browser: Page, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD)
    browser.open(tmp_path / "bad.html")
    browser.view(390, dark=False)
    wrong = browser.evaluate(SCRIPT)["wrong"]
    for where, what in FOUND.items():
        assert [line for line in wrong if where in line and what in line], (where, wrong)


def test_every_kind_of_page_is_looked_at() -> None:
    writers = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "rlaif_fast").rglob("*.py")
        if "from rlaif_fast.reports.html import" in path.read_text(encoding="utf-8")
    }
    shown = {one.__name__ for one in vars(report_pages).values() if isinstance(one, ModuleType)}
    assert len(writers) >= 3 and writers <= shown
