"""What the documents say is so."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.conftest import ROOT


def test_the_help_in_the_docs_is_current() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "tests.help_text"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert made.stdout == (ROOT / "docs/cli.md").read_text(encoding="utf-8"), "run `make help-text`"


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
