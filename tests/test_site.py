"""The documentation as a site: mkdocs in strict mode, where a page, a link or an anchor that is missing is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does, outside of the checkout."""
    pytest.importorskip("mkdocs", reason="the site needs mkdocs: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],  # --quiet counts no warnings
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert {page.stem for page in site.glob("*.html")} == pages | {"404"}


def test_pictures_and_tables_are_drawn(site: Path) -> None:
    """A picture is left to Mermaid, not shown as code; a table is one."""
    page = (site / "architecture.html").read_text(encoding="utf-8")
    source = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert page.count('<pre class="mermaid">') == source.count("```mermaid") == 2
    assert page.count("<table>") == source.count("\n| --- |") > 3


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No fonts and no scripts of other hosts in the pages themselves."""
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'src="http' not in text and "fonts.googleapis" not in text, page.name
