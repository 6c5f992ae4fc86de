"""The public names are the documented ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rlaif_fast
from rlaif_fast._moved import MOVED
from tests.conftest import ROOT


def test_exported_names_exist_and_are_documented() -> None:
    documented = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    for name in rlaif_fast.__all__:
        assert getattr(rlaif_fast, name) is not None
        assert name == "__version__" or f"`{name}" in documented, name


def test_there_is_no_other_name() -> None:
    public = {name for name in vars(rlaif_fast) if not name.startswith("_") and name[0].isupper()}
    assert public - {"TYPE_CHECKING"} <= set(rlaif_fast.__all__)


@pytest.mark.parametrize("before", MOVED)
def test_modules_that_moved_are_the_same_under_their_old_path(before: str) -> None:
    code = f"import importlib, {MOVED[before]} as now; assert importlib.import_module({before!r}) is now"
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert f"DeprecationWarning: {before} is {MOVED[before]} now" in done.stderr
