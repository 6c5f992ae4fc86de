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
from rlaif_fast.judging.judge import Judge
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.engines import variant
from rlaif_fast.runtime.fingerprint import fingerprint

Ticked = Callable[[int, bool], None]
_BATCH = 64  # pairs that are read ahead


class Readings:
    """Log-odds of labelled pairs through several prompts.

    What is read is written at once into a file of the cache folder, one a judge: bundle, prompt, engine and machine.
    An answer is known by the judge and by the texts of the pair, so a later run goes on from it, whatever stopped the
    earlier one and whichever other pairs or labels it has.
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
        keys = {place: _digest(self._pairs[place]) for place in places}
        for place in places:
            if (odds := known.get(keys[place])) is not None:
                found[place] = odds
                self._ticked(1, False)
        left = [place for place in places if np.isnan(found[place, 0])]
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            pairs = [self._pairs[place] for place in batch]
            shown = map(judge.shortened, pairs) if self._shorten else pairs
            with _appending(path) as write:
                for place, verdict in zip(batch, judge.judge_many(shown, window=_BATCH), strict=True):
                    found[place] = verdict.log_odds_by_order
                    write([keys[place], list(verdict.log_odds_by_order)])
                    self._ticked(1, True)


def _path(judge: Judge) -> Path:
    """The file of a judge's readings: by its bundle and prompt, the engine and its version, and this machine."""
    engine = variant(judge.engine)
    return home() / READINGS / f"{fingerprint([judge.digest, engine.name, engine.version()])}.jsonl"


def _digest(pair: Pair) -> str:
    texts = [pair.instruction, pair.response_0, pair.response_1]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[object], None]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("\n")  # ends a line that was not finished

        def write(line: object) -> None:
            stream.write(json.dumps(line) + "\n")
            stream.flush()

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
