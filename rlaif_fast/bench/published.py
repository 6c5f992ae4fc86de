"""A report of `bench` in the few sentences that a model card has room for."""

from __future__ import annotations

import json
from pathlib import Path

from rlaif_fast.bench.gate import read_baseline
from rlaif_fast.bundle.manifest import WEIGHTS, Manifest
from rlaif_fast.errors import BenchError


def speed_of(path: Path, manifest: Manifest) -> str:
    """How fast the bundle is by the report in ``path``, as Markdown. No path or command of the machine is in it.

    Raises:
        BenchError: no report of ``bench --json``, or one of another bundle.
    """
    found = read_baseline(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    try:
        of, pairs, threads = raw["bundle"], int(raw["set"]["pairs"]), int(raw["machine"]["threads"])
        if of["weights_sha256"] != manifest.files[WEIGHTS].sha256:
            raise BenchError(f"{path}: measured on another bundle; run rlaif-fast bench on this one")
        versions = ", ".join(f"{name} {version}" for name, version in raw["versions"].items())
        where = (
            f"{raw['machine']['cpu']}, {threads} threads; {versions}; prompt `{of['template']}`, engine {of['engine']}"
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"{path}: no complete report ({type(error).__name__}: {error})") from None
    beside = f", {found.speedup:.2f} times as fast as PyTorch in float32 in the same run" if found.speedup else ""
    memory = f" Peak memory {found.peak_mb:,.0f} MB." if found.peak_mb else ""
    return (
        f"A pair in both orders, alone: {found.median_ms:,.1f} ms, the median of {pairs} pairs{beside}.{memory}"
        f" Measured by `rlaif-fast bench` on {where}."
    )
