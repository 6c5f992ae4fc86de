"""A whole run: measure what is fresh, then the rate, then the pairs, and put the figures together."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlaif_fast.bench.gate import Baseline
from rlaif_fast.bench.measure import Progress, Side, doubts, fresh_judge, fresh_reference, interleave, machine
from rlaif_fast.bench.rate import matrix_rate
from rlaif_fast.bench.report import Grouped, PairArrays, Report, latency, speedup, work
from rlaif_fast.bundle.agreement import agreement
from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import WEIGHTS, Manifest
from rlaif_fast.errors import BenchError, ExportError
from rlaif_fast.files.source import Part
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.reports.terminal import say
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import open_pairs
from rlaif_fast.runtime import processor
from rlaif_fast.runtime.cpu import usable_cores
from rlaif_fast.runtime.engine_choice import resolve
from rlaif_fast.runtime.engines import DEFAULT, EngineOptions, variant
from rlaif_fast.runtime.packing import TreeBuilder
from rlaif_fast.version import __version__

if TYPE_CHECKING:
    from rlaif_fast_export.reference.seed_way import SeedWay
    from rlaif_fast_export.sources.source import Source


@dataclass(frozen=True)
class PairSet:
    """The pairs to measure, and what to call them."""

    source: str
    pairs: list[Pair]

    @property
    def sha256(self) -> str:
        """Of the texts: two runs compare where it is the same."""
        texts = [(pair.instruction, pair.response_0, pair.response_1) for pair in self.pairs]
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    set: PairSet
    folder: Path  # the bundle's
    template: str  # name of its prompt
    reference: str | None
    source: Source | None  # the reference's files, as :func:`checked_source` found them
    threads: int  # 0: the usable physical cores
    repeat: int
    command: str
    engine: str  # a variant, auto is looked up


def read_set(
    path: str, limit: int | None, kind: str | None = None, fields: str | None = None, *, part: Part = Part(),
    carry: Collection[str] = (),
) -> PairSet:  # fmt: skip
    """The first ``limit`` pairs of an input, read as ``judge`` does. Raises PairError, BenchError."""
    with open_pairs(path, kind, fields, say, part=part, carry=carry) as intake:
        name = intake.name
        pairs = list(islice(intake.pairs(), limit))
    if not pairs:
        raise BenchError(f"{name}: no rows; give pairs to measure")
    return PairSet(Path(name).name, pairs)


def checked_source(pairs: PairSet, reference: str | None, threads: int, baseline: Baseline | None) -> Source | None:
    """Where the reference's files are, None without one: to be asked before a bundle is exported, tried or measured.

    Args:
        threads: 0 for the usable physical cores.
        baseline: an older run that this one is to be held against.

    Raises RlaifFastError where the baseline is of something else, the exporter is not installed, or there is no such
    model.
    """
    if baseline is not None:
        baseline.require_comparable(processor.name(), threads or usable_cores(), pairs.sha256, reference is not None)
    return None if reference is None else _source(reference)


def run(plan: Plan, progress: Progress) -> Report:
    """Measure. Raises RlaifFastError of every kind."""
    threads = plan.threads or usable_cores()
    host = machine(threads)
    host["omp_wait_policy"] = os.environ.get("OMP_WAIT_POLICY")
    pairs = plan.set.pairs
    folder, engine = resolve(plan.folder, plan.engine, plan.template)
    bundle = Bundle(folder, plan.template)
    judge = Judge(bundle, EngineOptions(threads), engine)
    manifest = judge.manifest
    prompts = [judge.prompt_tokens(pair) for pair in pairs]
    packed = [_packed_tokens(sequences, manifest) for sequences in prompts]
    longest = pairs[int(np.argmax(packed))]

    progress("starting fresh processes", 0)
    fresh = fresh_judge(folder, plan.template, pairs[0], longest, threads, engine)
    beside = None
    if plan.reference is not None:
        progress("starting a fresh PyTorch", 0)
        beside = fresh_reference(plan.reference, folder, plan.template, pairs[0], longest, threads)
    sides: list[Side] = [lambda pair: judge.judge(pair).log_odds_by_order]
    if plan.source is not None:
        progress("loading the reference", 0)
        sides.append(_seed_way(plan.source, manifest, threads))

    progress("measuring the machine's matrix rate", 0)
    rows = int(np.median(packed))
    rate_before = matrix_rate(bundle.graph, rows, threads)
    timed = interleave(sides, pairs, plan.repeat, progress)
    progress("judging all pairs at once", 0)
    grouped = _grouped(judge, pairs, timed.log_odds[0])
    progress("measuring the machine's matrix rate again", 0)
    rate_after = matrix_rate(bundle.graph, rows, threads)

    prompt_tokens = [sum(map(len, sequences)) for sequences in prompts]
    operations = [2 * manifest.cost.of(tokens, len(manifest.prompt.prefix_ids)) for tokens in packed]
    rates = None if rate_before is None or rate_after is None else (rate_before.gops, rate_after.gops)
    ours, *others = timed.seconds
    theirs = others[0] if others else None
    answers = timed.log_odds[1] if others else None
    return Report(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=plan.command,
        machine=host,
        versions=_versions(engine, plan.reference is not None),
        bundle=_bundle(manifest) | {"engine": engine},
        reference=plan.reference,
        set={"source": plan.set.source, "pairs": len(pairs), "repeat": plan.repeat, "sha256": plan.set.sha256},
        latency=latency(ours, prompt_tokens, packed),
        reference_latency=None if theirs is None else latency(theirs, prompt_tokens, prompt_tokens),
        speedup=None if theirs is None else speedup(ours, theirs),
        grouped=grouped,
        work=work(operations, ours, rate_before, rate_after),
        fresh=fresh,
        reference_fresh=beside,
        warnings=doubts(host["load_average"], int(host["cores"]), rates),
        agreement=None if answers is None else agreement(timed.log_odds[0], answers),
        pairs=PairArrays(
            id=[pair.id for pair in pairs],
            prompt_tokens=prompt_tokens,
            computed_tokens=packed,
            bundle_ms=(ours * 1e3).tolist(),
            reference_ms=None if theirs is None else (theirs * 1e3).tolist(),
            bundle_log_odds=timed.log_odds[0].tolist(),
            reference_log_odds=None if answers is None else answers.tolist(),
        ),
    )


def _source(reference: str) -> Source:
    # On a busy machine the threads of torch's OpenMP burn their time spinning for one another: 40 times
    # slower was measured, which would pass for a speedup. It is read when torch is loaded; a user's own wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from rlaif_fast_export.sources.quiet import quiet_libraries
        from rlaif_fast_export.sources.source import find_source
    except ImportError as error:
        raise ExportError(
            f"--reference needs the exporter ({error.name} is missing); pip install 'rlaif-fast[export]'"
        ) from error
    quiet_libraries()
    found = find_source(reference, unlisted=True)
    found.config()  # read now: whether the hub has a model of that name shows only here
    return found


def _seed_way(source: Source, manifest: Manifest, threads: int) -> SeedWay:
    from rlaif_fast_export.reference.seed_way import SeedWay

    return SeedWay(source, manifest.pair_template, threads)


def _packed_tokens(sequences: list[list[int]], manifest: Manifest) -> int:
    tree = TreeBuilder(manifest.prompt.prefix_ids)
    for tokens in sequences:
        tree.add(tokens)
    return tree.tokens


def _grouped(judge: Judge, pairs: list[Pair], alone: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Grouped:
    started = time.perf_counter()
    verdicts: list[Verdict] = list(judge.judge_many(pairs, window=len(pairs)))
    seconds = time.perf_counter() - started
    together = np.array([verdict.log_odds_by_order for verdict in verdicts])
    return Grouped(len(pairs) / seconds, float(np.abs(together - alone).max()))


def _bundle(manifest: Manifest) -> dict[str, object]:
    return {
        "model": manifest.model.id,
        "revision": manifest.model.revision,
        "architecture": manifest.model.architecture,
        "parameters": manifest.model.parameters,
        "precision": manifest.precision,
        "template": manifest.prompt.name,
        "prefix_tokens": len(manifest.prompt.prefix_ids),
        "bytes": sum(entry.bytes for entry in (*manifest.files.values(), manifest.prompt.file)),
        "weights_sha256": manifest.files[WEIGHTS].sha256,
    }


def _versions(engine: str, with_reference: bool) -> dict[str, str]:
    packages = ["onnxruntime", "numpy", "tokenizers", *(["torch", "transformers"] if with_reference else [])]
    found = {name: version(name) for name in packages}
    if engine != DEFAULT:
        found[engine] = str(variant(engine).version())
    return {"rlaif-fast": __version__, "python": platform.python_version(), **found}
