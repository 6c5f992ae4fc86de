"""What the documents say is so."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rlaif_fast.prompts import template_file
from tests.conftest import ROOT, Run


def test_the_help_in_the_docs_is_current() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "tests.help_text"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert made.stdout == (ROOT / "docs/cli.md").read_text(encoding="utf-8"), "run `make help-text`"


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_template_in_the_docs_is_one_and_has_every_key(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/templates.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "judge.toml"
    path.write_text(text, encoding="utf-8")
    wording = template_file.read_template(str(path)).wording
    assert (wording.labels, len(wording.exemplars)) == (("A", "B"), 1)
    raw = template_file.tomllib.loads(text)
    assert set(raw) == set(template_file._KEYS) and set(raw["exemplars"][0]) == set(template_file._EXEMPLAR)


def test_what_the_docs_say_template_prints(rlaif_fast: Callable[..., Run]) -> None:
    page = (ROOT / "docs/templates.md").read_text(encoding="utf-8")
    for arguments in (("list",), ("show", "summary")):
        done = rlaif_fast("template", *arguments)
        assert f"$ rlaif-fast template {' '.join(arguments)}\n{done.out}" in page
