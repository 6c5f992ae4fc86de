"""What was read through which prompt: every answer once, kept so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rlaif_fast.bundle.home import READINGS, home
from rlaif_fast.evaluation.records import Floats
from rlaif_fast.files.targets import named
from rlaif_fast.judging.judge import Judge
from rlaif_fast.judging.pair_questions import shown
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.engines import variant
from rlaif_fast.runtime.fingerprint import fingerprint

Ticked = Callable[[int, bool], None]
_BATCH = 64  # pairs that are read ahead


class Readings:
    """Log-odds of labelled pairs through several prompts.

    What is read is written at once into a file of the cache folder, one a judge: bundle, prompt, engine and machine.
    An answer is known by the judge and by the texts of the pair as it was shown them, so a later run goes on from it,
    whatever stopped the earlier one and whichever other pairs or labels it has.
    """

    def __init__(
        self, pairs: Sequence[Pair], judge_of: Callable[[str], Judge], ticked: Ticked, *, shorten: bool = False
    ) -> None:  # fmt: skip
        """
        Args:
            judge_of: opens the judge of a prompt.
            ticked: is told of so many pairs, and whether they were read just now or known.
            shorten: leave away the end of an instruction that is too long.
        """
        self._pairs, self._judge_of, self._ticked, self._shorten = pairs, judge_of, ticked, shorten
        self._odds: dict[str, Floats] = {}

    @property
    def prompts(self) -> list[str]:
        """Those that something was read through."""
        return list(self._odds)

    def digest(self, prompt: str) -> str:
        """Of the judge through a prompt."""
        return self._judge_of(prompt).digest

    def odds(self, prompt: str) -> Floats:
        """[n, 2] log-odds of response_0 by order; nan for what was not read."""
        return self._odds.setdefault(prompt, np.full((len(self._pairs), 2), np.nan))

    def check(self, prompt: str, places: Sequence[int]) -> None:
        """Raise PairError where one of the pairs at ``places`` is too long for a prompt."""
        judge = self._judge_of(prompt)
        for place in places:
            self._shown(judge, place)

    def read(self, prompt: str, places: Sequence[int]) -> Floats:
        """Read the pairs at ``places`` through a prompt, where that was not done yet; log-odds [places, 2].

        Raises PairError where one is too long for it.
        """
        found = self.odds(prompt)
        left = [place for place in places if np.isnan(found[place, 0])]
        self._ticked(len(places) - len(left), False)
        if left:
            self._read(self._judge_of(prompt), left, found)
        return found[list(places)]

    def _read(self, judge: Judge, places: Sequence[int], found: Floats) -> None:
        """Fill in the rows of ``found``, from the file where they are known."""
        path = _path(judge)
        known = dict(_lines(path))
        pairs = {place: self._shown(judge, place) for place in places}
        keys = {place: _digest(pair) for place, pair in pairs.items()}
        for place in places:
            if (odds := known.get(keys[place])) is not None:
                found[place] = odds
                self._ticked(1, False)
        left = [place for place in places if np.isnan(found[place, 0])]
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            verdicts = judge.judge_many((pairs[place] for place in batch), window=_BATCH)
            with _appending(path) as write:
                for place, verdict in zip(batch, verdicts, strict=True):
                    found[place] = verdict.log_odds_by_order
                    write(json.dumps([keys[place], list(verdict.log_odds_by_order)]))
                    self._ticked(1, True)

    def _shown(self, judge: Judge, place: int) -> Pair:
        """The pair as the judge is shown it. Raises PairError where it is too long."""
        pair = self._pairs[place]
        if self._shorten:
            return judge.shortened(pair)
        judge.prompt_tokens(pair)
        return pair


def _path(judge: Judge) -> Path:
    """The file of a judge's readings: by its bundle and prompt, the engine and its version, and this machine."""
    engine = variant(judge.engine)
    return home() / READINGS / f"{fingerprint([judge.digest, engine.name, engine.version()])}.jsonl"


def _digest(pair: Pair) -> str:
    texts = [shown(pair), pair.response_0, pair.response_1]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[str], None]]:
    advice = "make room: what was read is kept, and the same command goes on"
    with named(path, advice):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with open(path, "ab", buffering=0) as stream:

        def write(line: str) -> None:
            with named(path, advice):
                stream.write(line.encode() + b"\n")

        write("")  # ends a line that was not finished
        yield write


def _lines(path: Path) -> Iterator[tuple[str, list[float]]]:
    """(digest of a pair's texts, log-odds of both orders); a line that was not finished is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            key, odds = json.loads(line)
            forward, swapped = map(float, odds)
        except (ValueError, TypeError):
            continue
        yield str(key), [forward, swapped]
