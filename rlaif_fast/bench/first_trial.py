"""Which of a model's two bundles judges faster here, found out before the first run: in ten seconds at most.

``tune`` tries every engine, for as long as it takes, and measures errors. Here nobody asked: the int8 bundle and the
float32 one are timed in turns on a few probes, both by the engine that every install has. Whether the chosen one is
faithful is found out when it is opened (:mod:`rlaif_fast.runtime.selftest`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rlaif_fast.bench.tuning import Progress, choose
from rlaif_fast.bundle.float32_bundle import float32_of
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.errors import RlaifFastError
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.sessions import session_of
from rlaif_fast.runtime import selftest
from rlaif_fast.runtime.engine_choice import Tried, Tuned
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions

SECONDS = 10.0  # of a trial, as far as it can be told beforehand
_TURNS = 3  # timed, of both bundles; one where there is no time for more
_BYTES = 3_000_000_000  # of both bundles: more are not opened and looked through in that time
_SLACK = 6  # passes that are left time for when the second bundle is opened: four, the float32 ones maybe slower


class _CannotBeUsed(Exception):
    """The float32 bundle, which was not asked for."""


def worthwhile(folder: Path) -> bool:
    """Whether the bundle is int8 and the float32 bundle of its model is there too."""
    manifest = read_manifest(folder)
    return bool(manifest.prompt.probes) and float32_of(folder, manifest) is not None


def try_both(
    folder: Path, progress: Progress, *, threads: int = 0, spin: bool = True, seconds: float = SECONDS
) -> Tuned:  # fmt: skip
    """Time an int8 bundle against the float32 one, where that is done in ``seconds``; else the int8 bundle is chosen.

    Args:
        folder: of an int8 bundle, for which it is :func:`worthwhile`.
        threads: of the engine; 0 for the usable physical cores.
        spin: whether they wait for each other awake; asleep on a machine in use, or each pass takes many times longer.

    Raises:
        BundleError, JudgeError: a bundle cannot be used.
    """
    manifest = read_manifest(folder)
    beside = float32_of(folder, manifest)
    assert beside is not None
    refusal, ms = f"not tried: it would take more than {seconds:g} s", None
    try:
        ms = _times([(folder, manifest), beside], progress, EngineOptions(threads, spin), time.perf_counter() + seconds)
    except _CannotBeUsed as error:  # the one that was asked for may be whole
        refusal = f"refused: {error}"
    ratio = ms[1] / ms[0] if ms else None
    fast, exact = (str(path.resolve()) for path in (folder, beside[0]))
    tried = (
        Tried(DEFAULT, fast, "int8", ms[0] if ms else None, 1.0, None, None, ""),
        Tried(DEFAULT, exact, "fp32", ms[1] if ms else None, ratio, None, None, "" if ms else refusal),
    )
    chosen = choose({0: 1.0, 1: ratio}, {0}) if ratio else 0
    return Tuned(tried, chosen, (manifest, beside[1])[chosen].digest, selftest.error_limit(manifest))


def _times(
    sides: list[tuple[Path, Manifest]], progress: Progress, options: EngineOptions, until: float
) -> tuple[float, float] | None:
    """Milliseconds a probe of each side, median; None where there is no time to find out."""
    sizes = [sum(file.bytes for file in manifest.all_files.values()) for _, manifest in sides]
    if sum(sizes) > _BYTES:
        return None
    probes = sides[0][1].prompt.probes
    progress("trying the int8 bundle", 0.0)
    since = time.perf_counter()
    fast = _open(*sides[0], options)
    other = (time.perf_counter() - since) * sizes[1] / sizes[0]  # what opening the other one takes
    if time.perf_counter() + other > until:
        return None
    fast.answer(probes[0])
    a_pass = _seconds(fast.answer, probes[0])
    if time.perf_counter() + other + _SLACK * a_pass > until:
        return None
    progress("trying the fp32 bundle", 0.5)
    try:
        exact = _open(*sides[1], options)
        exact.answer(probes[0])
    except RlaifFastError as error:
        raise _CannotBeUsed(str(error)) from None
    taken: list[list[float]] = []
    while not taken or (len(taken) < _TURNS and time.perf_counter() + sum(taken[-1]) < until):
        probe = probes[len(taken) % len(probes)]
        taken.append([_seconds(fast.answer, probe), _seconds(exact.answer, probe)])
    first, second = np.median(taken, axis=0)
    return 1e3 * float(first), 1e3 * float(second)


def _open(folder: Path, manifest: Manifest, options: EngineOptions) -> Judge | Rater:
    return session_of(manifest.prompt.template)(Bundle(folder, manifest.prompt.name), options)


def _seconds(answer: Callable[..., object], probe: object) -> float:
    since = time.perf_counter()
    answer(probe)
    return time.perf_counter() - since
