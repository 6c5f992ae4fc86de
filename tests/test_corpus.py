"""The fuzzers' corpus, replayed: seeds, and what was found once. ``python -m tests.fuzz`` looks for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import manifest, row, template

CORPUS = Path(__file__).parent / "corpus"
TARGETS = {"manifest": manifest.check, "row": row.check, "template": template.check}
CASES = sorted(path for path in CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_but_the_readers_own_errors(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {path.parent.name for path in CASES} == set(TARGETS)
