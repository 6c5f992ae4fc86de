"""A finished bundle held against PyTorch, before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from rlaif_fast.bundle.folder import write_manifest
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import Fidelity, Probe
from rlaif_fast.prompts.kinds import AnyTemplate
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.wording import counted
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.reference.oracle import Answers, Oracle
from rlaif_fast_export.reference.verify import (
    TOLERANCE,
    error_bound,
    fidelity,
    in_orders,
    odds_of,
    require_exact,
    require_faithful,
    require_steady,
    require_ties,
)
from rlaif_fast_export.writing.answers import Ask, in_one_session, in_segments, takes_segments


class Built(Protocol):
    """A bundle on disk that is not verified yet.

    Attributes:
        manifest: as far as it is known.
        oracle: PyTorch's answers.
        int8: None for fp32.
        worst: int8 groups by the error they are expected to add, the largest first.
        moved: mean |difference| in log-odds that another processor's last bits make of an int8 bundle's answers.
    """

    manifest: Manifest
    oracle: Oracle
    int8: Int8Options | None
    worst: Sequence[str]
    moved: float

    def list_files(self) -> None:
        """Have the manifest name the files as they are, and write it."""


def verify(folder: Path, build: Built, progress: Callable[[str, float], None]) -> Ask:
    """Judge with the bundle as a user would, and complete the manifest with what was found.

    Returns what asks the bundle. Raises FidelityError where the answers are too far from PyTorch.
    """
    oracle, model = build.oracle, build.manifest.model.id
    in_parts = takes_segments(folder, build.manifest)
    with ThreadPoolExecutor(1) as other:  # the digests of gigabytes take as long as their answers
        listed = other.submit(build.list_files)
        if not in_parts:
            listed.result()  # a session opens the bundle by its manifest
        ask = in_segments(folder, build.manifest) if in_parts else in_one_session(folder)

        prompt = build.manifest.prompt
        arrays = prompt.arrays((folder / prompt.path).read_bytes(), prompt.path)

        def answers(pairs: Sequence[Pair]) -> Answers:
            return ask(prompt, arrays, pairs, lambda done: progress("verifying against PyTorch", done))

        of_probes = answers(oracle.probes)
        of_judged = of_probes if build.int8 is None else answers(oracle.judged)
        of_longest = None if oracle.longest is None else answers([oracle.longest[0]])
        listed.result()
    manifest = build.manifest
    probes = probes_of(oracle.probes, oracle.of_probes, of_probes)
    if build.int8 is None:
        found = exact_card(manifest.prompt.template, of_probes, oracle.of_probes, model)
        if oracle.longest is not None and of_longest is not None:
            text = f"a pair of {manifest.maximum_length:,} tokens, all that it may have"
            require_exact(fidelity(of_longest, oracle.longest[1], text), model)
        final = replace(manifest.prompt, fidelity=found, probes=probes)
    else:
        template = manifest.prompt.template
        held_out, wanted = odds_of(template, of_judged), odds_of(template, oracle.of_judged)
        found = fidelity(held_out, wanted, f"{len(oracle.judged)} held-out pairs{in_orders(template)}")
        require_faithful(found, build.int8.max_delta, build.worst, model)
        require_ties(held_out, wanted, build.int8.max_delta, model)
        require_steady(build.moved, found, model)
        bound = error_bound(
            np.concatenate((held_out, odds_of(template, of_probes))),
            np.concatenate((wanted, odds_of(template, oracle.of_probes))),
        )
        final = replace(manifest.prompt, fidelity=found, error_bound=bound, probes=probes)
    write_manifest(folder, replace(manifest, prompts=(final,)))
    return ask


def exact_card(template: AnyTemplate, found: Answers, reference: Answers, model: str) -> Fidelity:
    """Of a float32 bundle's answers on probe pairs. Raises FidelityError where they are not PyTorch's."""
    card = card_of(template, found, reference)
    require_exact(card, model, "score" if isinstance(template, ScoreTemplate) else "log-odds")
    if isinstance(template, RewardTemplate):  # their difference may be right where both are not
        require_exact(fidelity(found * [1, -1], reference * [1, -1], card.prompts), model, "reward")
    require_ties(found, reference, TOLERANCE, model, exact=True)
    return card


def card_of(template: AnyTemplate, found: Answers, reference: Answers) -> Fidelity:
    """Of answers on probe pairs: log-odds, or scores or rewards."""
    if isinstance(template, ScoreTemplate):  # a label flips where the other response scores higher
        sides = [1, -1]
        return fidelity(found * sides, reference * sides, f"both responses of {counted(len(found), 'probe pair')}")
    on = f"{counted(len(found), 'probe pair')}{in_orders(template)}"
    return fidelity(odds_of(template, found), odds_of(template, reference), on)


def probes_of(pairs: Sequence[Pair], reference: Answers, answers: Answers) -> tuple[Probe, ...]:
    """Pairs with both answers, as the manifest keeps them: the first two of each row."""
    return tuple(
        Probe(p.instruction, p.response_0, p.response_1, (float(r[0]), float(r[1])), (float(d[0]), float(d[1])))
        for p, r, d in zip(pairs, reference, answers, strict=True)
    )
