"""What a finished bundle answers, as a user's judge would: in one session, or in segments where that takes too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import HEAD, TOKENIZER, WEIGHTS, Manifest
from rlaif_fast.bundle.prompt import Arrays, BundlePrompt
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.label_odds import first_odds, verdict_of
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.sessions import session_of
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime import memory
from rlaif_fast.runtime.engines import EngineOptions
from rlaif_fast.runtime.engines.base import feed_of
from rlaif_fast.runtime.packing import canonical, pack
from rlaif_fast.runtime.vocabulary import Vocabulary
from rlaif_fast_export.reference.pytorch import RewardAsker, ScoreAsker, asker_of
from rlaif_fast_export.writing.segments import run_in_segments

WHOLE = 2_000_000_000  # bytes of weights that a session over the whole graph may have here

# Asks a bundle through a prompt, as PyTorch was asked (rlaif_fast_export.reference.oracle.Answers).
Ask = Callable[[BundlePrompt, Arrays, Sequence[Pair], Callable[[float], None]], npt.NDArray[np.float64]]


def takes_segments(folder: Path, manifest: Manifest) -> bool:
    """Whether a session over the whole graph would take more memory than all the rest of an export."""
    return memory.loaded(manifest, (folder / WEIGHTS).stat().st_size) > WHOLE


def in_one_session(folder: Path) -> Ask:
    """Asks with the weights loaded once, for all prompts."""
    bundle = Bundle(folder)
    sessions: list[Judge | Rater] = []

    def ask(
        prompt: BundlePrompt, arrays: Arrays, pairs: Sequence[Pair], tick: Callable[[float], None]
    ) -> npt.NDArray[np.float64]:
        sessions.append(
            session_of(prompt.template)(bundle.with_prompt(prompt, arrays), beside=sessions[-1] if sessions else None)
        )
        found = []
        for number, pair in enumerate(pairs):
            tick(number / len(pairs))
            session = sessions[-1]
            found.append(_numbers(session.judge(pair)) if isinstance(session, Judge) else session.answer(pair))
        return np.array(found)

    return ask


def in_segments(folder: Path, manifest: Manifest) -> Ask:
    """As :func:`in_one_session`, a segment of the graph after the other; the folder needs no manifest yet."""
    tokenizer = PromptTokenizer.from_file(folder / TOKENIZER)

    def ask(
        prompt: BundlePrompt, arrays: Arrays, pairs: Sequence[Pair], tick: Callable[[float], None]
    ) -> npt.NDArray[np.float64]:
        asker = asker_of(tokenizer, prompt.template, prompt.label_ids, manifest.maximum_length)
        given = [canonical(asker.prompts(pair)) for pair in pairs]
        trees = [pack(ordered, prompt.prefix_ids, prompt.ending) for ordered, _ in given]
        outputs = [
            (logits[places], hidden[places])
            for (_, places), (logits, hidden) in zip(
                given, run_in_segments(folder, [{**arrays, **feed_of(tree)} for tree in trees], tick), strict=True
            )
        ]
        if isinstance(asker, RewardAsker):
            return np.array([first_odds(logits.astype(np.float64)) for logits, _ in outputs])
        if not isinstance(asker, ScoreAsker):
            found = [logits.astype(np.float64) for logits, _ in outputs]
            return np.array([_numbers(verdict_of(*of_pair)) for of_pair in zip(pairs, found, strict=True)])
        vocabulary = Vocabulary((folder / HEAD).read_bytes(), folder, EngineOptions())
        return np.array([
            asker.rated(pair, (logits - vocabulary.log_totals(hidden)[:, None]).astype(np.float64))
            for pair, (logits, hidden) in zip(pairs, outputs, strict=True)
        ])  # fmt: skip

    return ask


def _numbers(verdict: Verdict) -> tuple[float, ...]:
    """Its log-odds by order, and p_tie where it has that; or rewards."""
    return verdict.rewards or (*verdict.log_odds_by_order, *(verdict.p_tie_by_order or ()))
