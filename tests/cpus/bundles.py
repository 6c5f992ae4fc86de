"""The bundles that are compared: int8, exported here, kept for the next run where a folder is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.bundle.manifest import MANIFEST
from rlaif_fast.errors import BundleError
from tests.cpus.emulated import PROJECT, MissingTool


def families() -> list[str]:
    """Names of the tiny models, one a supported family and more. (Imports torch.)"""
    from tests.families import FAMILIES

    return list(FAMILIES)


def tiny(names: Iterable[str], state: Path) -> Iterator[Path]:
    """Bundles of tiny models. However unfaithful: it is asked whether another processor says the same."""
    from rlaif_fast.prompts.template import SUMMARY
    from rlaif_fast_export.exporter import export_bundle
    from rlaif_fast_export.int8.options import Int8Options
    from rlaif_fast_export.sources.source import find_source
    from tests.families import save_tiny

    for name in names:
        bundle, model = state / "bundles" / name, state / "models" / name
        if not _usable(bundle):
            _say(f"exporting {name}")
            bundle.parent.mkdir(parents=True, exist_ok=True)
            source = find_source(str(save_tiny(name, model)))
            export_bundle(
                source, bundle, SUMMARY, force=True, progress=lambda what, share: None, int8=Int8Options(max_delta=10.0)
            )
        yield bundle


def default(state: Path) -> Path:
    """The embedded default's, as its user exports it. Takes minutes. Raises MissingTool where it cannot be."""
    bundle = state / "bundles" / DEFAULT_MODEL
    if not _usable(bundle):
        _say(f"exporting {DEFAULT_MODEL}, which takes minutes")
        command = [sys.executable, "-m", "rlaif_fast", "export", DEFAULT_MODEL, "--precision", "int8", "--force"]
        done = subprocess.run(
            [*command, "-o", str(bundle)], cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"RLAIF_FAST_HOME": str(state / "home")},
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise MissingTool(f"{DEFAULT_MODEL} could not be exported ({said[-1]}); leave it out with --no-default")
    return bundle


def _usable(bundle: Path) -> bool:
    """Whether it is there, in this version's schema, and the exporter has not changed since."""
    try:
        read_manifest(bundle)
    except BundleError:
        return False
    sources = (path for path in (PROJECT / "export").rglob("*") if path.is_file() and path.suffix != ".pyc")
    if max(path.stat().st_mtime for path in sources) > (bundle / MANIFEST).stat().st_mtime:
        return False
    _say(f"{bundle}: as it was exported before")
    return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
