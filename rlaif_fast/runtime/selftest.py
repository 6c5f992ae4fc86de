"""Does this machine compute what the bundle computed where it was exported?

The manifest holds probe pairs with the bundle's own answers and PyTorch's. Integer arithmetic that saturates, or a
runtime whose kernel changed, gives others. The probes are judged the first time a bundle meets a machine, an engine and
its version; that it passed is remembered in the cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rlaif_fast.bundle.home import CHECKED, home
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.errors import UnfaithfulError
from rlaif_fast.runtime.engines import DEFAULT, Variant, variant
from rlaif_fast.runtime.fingerprint import fingerprint

Answer = Callable[[Probe], Sequence[float]]  # log-odds, or expected scores, of a probe: two of them
EXACT = 1e-3  # log-odds: what a float32 bundle's answers may differ by, between machines
FAITHFUL = 0.03  # log-odds, mean: what anything that rounds may be off unasked; near a tie 0.75 points of p1
# Of FAITHFUL, or of its own error where more of that was asked for: what an int8 bundle's answers may differ by, on
# average, between machines. The last bits of float32 give half of that, sums that are cut off several times as much
# (docs/engines.md).
_SHARE = 0.5
_NOISE = 0.5  # of the mean |log-odds|: from there on a verdict is mostly error


def run_once(manifest: Manifest, answer: Answer, engine: str = DEFAULT) -> None:
    """Check the probes unless they passed before with this bundle, machine, engine and version.

    Raises:
        UnfaithfulError: the answers are not the bundle's.
    """
    chosen = variant(engine)
    record = record_of(manifest, chosen)
    if record.is_file():
        return
    worst = check(manifest, answer, chosen)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        what = {"bundle": manifest.name, "engine": chosen.name, "version": chosen.version(), "max": worst}
        record.write_text(json.dumps(what) + "\n")
    except OSError:
        pass  # a read-only cache folder: the next process checks again


def record_of(manifest: Manifest, engine: Variant | None = None) -> Path:
    """The file that remembers that the bundle passed on this machine, with this engine."""
    chosen = engine or variant(DEFAULT)
    files = sorted((name, entry.sha256) for name, entry in manifest.files.items())
    files.append((manifest.prompt.name, manifest.prompt.file.sha256))
    return home() / CHECKED / f"{fingerprint([files, chosen.name, chosen.version()])}.json"


def check(manifest: Manifest, answer: Answer, engine: Variant | None = None) -> float:
    """Largest difference to the stored answers (of another engine than the default: PyTorch's), in log-odds.

    An engine that was named has the bundle's limit too. One that rounds by its nature was named for that: it is only
    refused where its answers are noise. Raises UnfaithfulError where the difference is too large.
    """
    engine = engine or variant(DEFAULT)
    if not manifest.prompt.probes:
        return 0.0
    own = engine.name == DEFAULT
    wanted = [p.answer if own else p.reference for p in manifest.prompt.probes]
    found = differences([answer(p) for p in manifest.prompt.probes], wanted)
    mean, worst = sum(found) / len(found), max(found)
    if engine.rounds:
        size = [abs(x) for probe in manifest.prompt.probes for x in probe.reference]
        off, limit = mean, _NOISE * sum(size) / len(size)
    elif own:
        off, limit = deviation(manifest, found)
    else:
        off, limit = worst if manifest.precision == "fp32" else mean, error_limit(manifest)
    if not off <= limit:  # a NaN differs as well
        raise UnfaithfulError(
            f"{manifest.name}: this machine answers the bundle's probes differently, by {mean:.2g} in log-odds on"
            f" average and up to {worst:.2g} (limit {limit:.2g}); its arithmetic or {engine.name} {engine.version()}"
            " is not what the bundle was verified with, export the model again on this machine or with"
            " --precision fp32"
        )
    return worst


def deviation(manifest: Manifest, differences: Sequence[float]) -> tuple[float, float]:
    """(what counts of differences between two machines' log-odds, its limit): at float32 the largest, else the mean."""
    if manifest.precision == "fp32":
        return max(differences), EXACT
    return sum(differences) / len(differences), steady_limit(manifest.prompt.fidelity.mean)


def steady_limit(error: float) -> float:
    """Mean |difference| between two machines that an int8 bundle may have, whose mean error is ``error``; log-odds."""
    return _SHARE * max(FAITHFUL, error)


def error_limit(manifest: Manifest) -> float:
    """The mean error to PyTorch fp32 on the probes, in log-odds, that an engine may have to be chosen for a bundle.

    EXACT for a float32 bundle. For int8 FAITHFUL, or what the bundle itself has, where more was asked for.
    """
    if manifest.precision == "fp32":
        return EXACT
    own = differences([p.answer for p in manifest.prompt.probes], [p.reference for p in manifest.prompt.probes])
    return max(FAITHFUL, sum(own) / len(own), manifest.prompt.fidelity.mean)


def differences(answers: Iterable[Sequence[float]], others: Iterable[Sequence[float]]) -> list[float]:
    """|difference| of every two values of two lists of answers."""
    return [abs(x - y) for a, b in zip(answers, others, strict=True) for x, y in zip(a, b, strict=True)]
