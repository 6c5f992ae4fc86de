"""The right engine for this machine: every variant timed on a bundle's probes, its error to PyTorch measured.

The probes are those of the bundle's first prompt; what is chosen by them is taken for all.

Each candidate is timed in turns with the default, so the machine's drift cancels; two are loaded at a time, never more.
An int8 bundle's candidates include those of the float32 bundle of the same model, where that is there.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rlaif_fast.bundle.float32_bundle import float32_of
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import Probe
from rlaif_fast.errors import BundleError, JudgeError, UnfaithfulError
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.sessions import session_of
from rlaif_fast.runtime import selftest
from rlaif_fast.runtime.engine_choice import Tried, Tuned
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions, Variant, offered

_SECONDS = 3.0  # of timing, a candidate and the default together
_LEAST = 3  # turns
_SETTLE = 0.05  # seconds between turns: threads of the other engine come to rest

_GAIN = 0.9  # of the default's time: less is the machine's noise, and not worth another engine's start and memory
_NEARLY = 1.1  # times what the fastest takes: an exact variant is worth that much

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Candidate:
    """A variant over a bundle."""

    folder: Path
    manifest: Manifest  # seen through the prompt it is tried with
    variant: Variant

    @property
    def rounds(self) -> bool:
        """Whether it is not exact to float32's last digits."""
        return self.variant.rounds or self.manifest.precision != "fp32"


def candidates(folder: Path) -> list[Candidate]:
    """What this machine and the bundle offer, the default first."""
    manifest = read_manifest(folder)
    found = [Candidate(folder, manifest, v) for v in offered(manifest)]
    beside = float32_of(folder, manifest)
    if beside is not None:
        found += [Candidate(*beside, v) for v in offered(beside[1])]
    return found


def out_of_reach(folder: Path) -> list[str]:
    """Fast variants that this machine has, but only for the float32 bundle of the model, which is not there."""
    manifest = read_manifest(folder)
    if manifest.precision != "int8" or float32_of(folder, manifest) is not None:
        return []
    return [v.name for v in offered(replace(manifest, precision="fp32")) if v.rounds]


def tune(
    folder: Path, progress: Progress, *, max_delta: float | None = None, threads: int = 0, spin: bool = True
) -> Tuned:  # fmt: skip
    """Try every candidate and choose the fastest that is faithful, or an exact one that takes at most a tenth more.

    Args:
        folder: the bundle's.
        max_delta: mean |difference| to PyTorch fp32 on the probes to allow, log-odds; None for the bundle's limit.
        threads: of each engine; 0 for the usable physical cores.
        spin: whether they wait for each other awake, where an engine can; better asleep on a machine in use.

    Raises:
        UnfaithfulError: none is faithful.
        BundleError, JudgeError: the bundle cannot be used.
    """
    options, tried = EngineOptions(threads, spin), []
    of = candidates(folder)
    manifest = of[0].manifest
    if not manifest.prompt.probes:
        raise BundleError(f"{folder}: the bundle has no probes to measure with; name an engine with --engine")
    limit = selftest.error_limit(manifest) if max_delta is None else max_delta
    exact = manifest.precision == "fp32" and max_delta is None
    default = _open(of[0], options)
    for number, candidate in enumerate(of):
        progress(f"trying {candidate.variant.name} on the {candidate.manifest.precision} bundle", number / len(of))
        # The default over a bundle has that bundle's own error where it answers as it did at export, which is checked;
        # a few probes tell its size too roughly to refuse it by.
        allowed = np.inf if candidate.variant.name == DEFAULT and max_delta is None else limit
        tried.append(_try(candidate, default if number == 0 else None, default, options, allowed, exact))
        gc.collect()
    tried = _comparable(tried)
    faithful = [n for n, one in enumerate(tried) if not one.refusal]
    if not faithful:
        raise UnfaithfulError(
            f"{manifest.name}: no engine of this machine is within {limit:.2g} in log-odds of PyTorch on the bundle's"
            " probes; export the model with --precision fp32 too"
        )
    chosen = choose({n: tried[n].ratio or np.inf for n in faithful}, {n for n in faithful if of[n].rounds})
    return Tuned(tuple(tried), chosen, read_manifest(Path(tried[chosen].folder)).digest, limit)


def reason(table: Tuned) -> str:
    """Why the chosen candidate was, where another one's time is shorter; empty where it is the fastest faithful one."""
    chosen = table.choice
    faster = [one for one in table.tried if not one.refusal and (one.ratio or np.inf) < (chosen.ratio or np.inf)]
    if not faster:
        return ""
    if table.chosen == 0:
        return f"it is the default, and another one is taken only where it takes {100 * (1 - _GAIN):.0f} % less time"
    more = f"{100 * (_NEARLY - 1):.0f} %"
    return f"it is exact to float32's last digits, and takes at most {more} more time than the fastest"


def choose(ratios: Mapping[int, float], rounding: Container[int]) -> int:
    """Of candidates by their time over the default's, number 0: the fastest; or an exact one that is nearly as fast."""

    def fastest(numbers: Iterable[int]) -> int:
        return min(numbers, key=lambda n: ratios[n] if n == 0 else ratios[n] / _GAIN)

    found = fastest(ratios)
    near = [n for n in ratios if n not in rounding and ratios[n] <= _NEARLY * ratios[found]]
    return fastest(near) if found in rounding and near else found


def _comparable(tried: Sequence[Tried]) -> list[Tried]:
    """Times as they are to one another: each candidate's is its ratio to the default, times the default's first time.

    As measured they are minutes apart, in which the machine drifts: the faster one may seem the slower.
    """
    default = tried[0].ms
    if default is None:
        return [*tried]
    return [one if one.ratio is None else replace(one, ms=one.ratio * default) for one in tried]


def _try(
    candidate: Candidate, opened: Judge | Rater | None, default: Judge | Rater, options: EngineOptions, limit: float,
    exact: bool,
) -> Tried:  # fmt: skip
    name, precision = candidate.variant.name, candidate.manifest.precision
    found = Tried(name, str(candidate.folder.resolve()), precision, None, None, None, None, "")
    probes = candidate.manifest.prompt.probes
    try:
        side = opened or _open(candidate, options)
        answers = [tuple(side.answer(probe)) for probe in probes]
        errors = selftest.differences(answers, [probe.reference for probe in probes])
        mean, worst = sum(errors) / len(errors), max(errors)
        ours, theirs = _times([side, default], probes) if opened is None else 2 * _times([side], probes)
    except (BundleError, JudgeError) as error:
        return replace(found, refusal=str(error))
    found = replace(found, ms=1e3 * ours, ratio=ours / theirs, mean=mean, max=worst)
    off = worst if exact else mean
    if not off <= limit:  # a NaN is no answer either
        return replace(found, refusal=f"{'largest' if exact else 'mean'} error {off:.2g}, limit {limit:.2g}")
    if name == DEFAULT:
        try:
            selftest.check(candidate.manifest, lambda probe: answers[probes.index(probe)])
        except UnfaithfulError:
            return replace(found, refusal="it does not answer as it did where the bundle was exported")
    return found


def _open(candidate: Candidate, options: EngineOptions) -> Judge | Rater:
    prompt = candidate.manifest.prompt
    return session_of(prompt.template)(Bundle(candidate.folder, prompt.name), options, candidate.variant.name)


def _times(sides: Sequence[Judge | Rater], probes: Sequence[Probe]) -> list[float]:
    """Median seconds a probe of each side, in turns; untimed passes have been made, of the first side at least."""
    for side in sides:
        side.answer(probes[0])
    seconds: list[list[float]] = [[] for _ in sides]
    turn = 0
    while turn < _LEAST or (turn < len(probes) and sum(map(sum, seconds)) < _SECONDS):
        for which in (range(len(sides)), reversed(range(len(sides))))[turn % 2]:
            time.sleep(_SETTLE)
            started = time.perf_counter()
            sides[which].answer(probes[turn % len(probes)])
            seconds[which].append(time.perf_counter() - started)
        turn += 1
    return [float(np.median(s)) for s in seconds]
