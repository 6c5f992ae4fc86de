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
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.rows.pairs import Pair

Ticked = Callable[[int, bool], None]
_BATCH = 64  # pairs that are read ahead


class Readings:
    """Log-odds of labelled pairs through several prompts.

    What is read is written at once into a file of the cache folder, one a judge: bundle, prompt and engine. An answer
    is known by the judge and by the texts of the pair, so a later run goes on from it, whatever stopped the earlier
    one and whichever other pairs or labels it has.
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
        self._odds: dict[tuple[str, Orders], Floats] = {}

    @property
    def prompts(self) -> list[str]:
        """Those that something was read through in both orders."""
        return [prompt for prompt, orders in self._odds if orders == "both"]

    def digest(self, prompt: str) -> str:
        """Of the judge through a prompt."""
        return self._judge_of(prompt).digest

    def odds(self, prompt: str, orders: Orders = "both") -> Floats:
        """[n, 2] log-odds of response_0 by order; nan for what was not read."""
        return self._odds.setdefault((prompt, orders), np.full((len(self._pairs), 2), np.nan))

    def read(self, prompt: str, places: Sequence[int], orders: Orders = "both") -> Floats:
        """Read the pairs at ``places`` through a prompt, where that was not done yet; log-odds [places, 2].

        Raises PairError where one is too long for it.
        """
        found = self.odds(prompt, orders)
        left = [place for place in places if np.isnan(found[place, 0])]
        self._ticked(len(places) - len(left), False)
        if not left:
            return found[list(places)]
        judge = self._judge_of(prompt)
        path = home() / READINGS / f"{_digest([judge.digest, judge.engine])[:16]}.jsonl"
        known = dict(_lines(path))
        keys = {place: _digest([orders, *_texts(self._pairs[place])]) for place in left}
        for place in left:
            if (odds := known.get(keys[place])) is not None:
                found[place, : len(odds)] = odds
                self._ticked(1, False)
        left = [place for place in left if np.isnan(found[place, 0])]
        with _appending(path) as write:
            for start in range(0, len(left), _BATCH):
                batch = left[start : start + _BATCH]
                pairs = [self._pairs[place] for place in batch]
                shown = map(judge.shortened, pairs) if self._shorten else pairs
                for place, verdict in zip(batch, judge.judge_many(shown, orders, window=_BATCH), strict=True):
                    odds = list(verdict.log_odds_by_order)
                    found[place, : len(odds)] = odds
                    write([keys[place], odds])
                    self._ticked(1, True)
        return found[list(places)]


def _texts(pair: Pair) -> list[str]:
    return [pair.instruction, pair.response_0, pair.response_1]


def _digest(of: list[str]) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[object], None]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as stream:

        def write(line: object) -> None:
            stream.write(json.dumps(line) + "\n")
            stream.flush()

        yield write


def _lines(path: Path) -> Iterator[tuple[str, list[float]]]:
    """(digest of orders and texts, log-odds) that were written; a line that was not finished is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            key, odds = json.loads(line)
            yield str(key), [float(value) for value in odds]
        except (ValueError, TypeError):
            continue
