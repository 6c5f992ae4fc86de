"""What a finished bundle answers, as a user's judge would: in one session, or in segments where that takes too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rlaif_fast.bundle.folder import Bundle
from rlaif_fast.bundle.manifest import TOKENIZER, WEIGHTS, Manifest
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.verdict import log_odds
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime import memory
from rlaif_fast.runtime.engines.base import feed_of
from rlaif_fast.runtime.packing import pack
from rlaif_fast_export.reference.pytorch import Asker
from rlaif_fast_export.writing.segments import run_in_segments

WHOLE = 2_000_000_000  # bytes of weights that a session over the whole graph may have here

Ask = Callable[[Sequence[Pair], Callable[[float], None]], npt.NDArray[np.float64]]


def in_one_session(folder: Path) -> Ask:
    """Asks the bundle in ``folder``: log-odds of response_0 or scores [pairs, 2]."""
    bundle = Bundle(folder)
    judge = Judge(bundle) if isinstance(bundle.manifest.template, Template) else Rater(bundle)

    def ask(pairs: Sequence[Pair], tick: Callable[[float], None]) -> npt.NDArray[np.float64]:
        found = []
        for number, pair in enumerate(pairs):
            tick(number / len(pairs))
            found.append(judge.answer(pair))
        return np.array(found)

    return ask


def in_segments(folder: Path, manifest: Manifest) -> Ask:
    """As :func:`in_one_session`, for pairs, of a folder whose manifest may not be written yet."""
    tokenizer = PromptTokenizer.from_file(folder / TOKENIZER)
    first, second = manifest.label_ids
    asker = Asker(tokenizer, manifest.pair_template, (first, second), manifest.maximum_length)

    def ask(pairs: Sequence[Pair], tick: Callable[[float], None]) -> npt.NDArray[np.float64]:
        trees = [pack(asker.prompts(pair), manifest.prefix_ids, manifest.ending) for pair in pairs]
        logits = run_in_segments(folder, [feed_of(tree) for tree in trees], tick)
        return np.array([log_odds(of_pair.tolist()) for of_pair in logits])

    return ask


def takes_segments(folder: Path, manifest: Manifest) -> bool:
    """Whether a session over the whole graph would take more memory than all the rest of an export."""
    size = memory.loaded(manifest, (folder / WEIGHTS).stat().st_size)
    return isinstance(manifest.template, Template) and size > WHOLE
