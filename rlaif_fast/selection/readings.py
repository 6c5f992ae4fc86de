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
_BATCH = 64  # pairs that are read before they are written down


class Readings:
    """Log-odds of labelled pairs through several prompts.

    What is read is written into a file of the cache folder at once: ``select`` on the same pairs goes on from it,
    whatever stopped it. An answer is known by the judge that gave it (bundle, prompt and engine), so none is taken for
    another's.
    """

    def __init__(
        self, pairs: Sequence[Pair], judge_of: Callable[[str], Judge], ticked: Ticked, *,
        shorten: bool = False,
    ) -> None:  # fmt: skip
        """
        Args:
            judge_of: opens the judge of a prompt.
            ticked: is told of so many pairs, and whether they were read just now or known.
            shorten: leave away the end of an instruction that is too long.
        """
        self._pairs, self._judge_of, self._ticked, self._shorten = pairs, judge_of, ticked, shorten
        self._odds: dict[tuple[str, Orders], Floats] = {}
        texts = [[pair.instruction, pair.response_0, pair.response_1] for pair in pairs]
        self._name = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
        self._known: dict[tuple[str, Orders], dict[int, list[float]]] = {}
        for judge, orders, place, odds in _lines(self.path):
            self._known.setdefault((judge, orders), {})[place] = odds

    @property
    def path(self) -> Path:
        """The file that they are kept in."""
        return home() / READINGS / f"{self._name}.jsonl"

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
        if left:
            judge = self._judge_of(prompt)
            key = f"{judge.digest} {judge.engine}"
            known = self._known.get((key, orders), {})
            for place in [place for place in left if place in known]:
                found[place, : len(known[place])] = known[place]
                self._ticked(1, False)
            left = [place for place in left if place not in known]
            with self._written() as write:
                for start in range(0, len(left), _BATCH):
                    batch = left[start : start + _BATCH]
                    pairs = [self._pairs[place] for place in batch]
                    shown = map(judge.shortened, pairs) if self._shorten else pairs
                    verdicts = judge.judge_many(shown, orders, window=_BATCH)
                    for place, verdict in zip(batch, verdicts, strict=True):
                        odds = list(verdict.log_odds_by_order)
                        found[place, : len(odds)] = odds
                        write([key, orders, place, odds])
                        self._ticked(1, True)
        return found[list(places)]

    @contextmanager
    def _written(self) -> Iterator[Callable[[object], None]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as stream:

            def write(line: object) -> None:
                stream.write(json.dumps(line) + "\n")
                stream.flush()

            yield write


def _lines(path: Path) -> Iterator[tuple[str, Orders, int, list[float]]]:
    """What an earlier run wrote; a line that it did not finish is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            judge, orders, place, odds = json.loads(line)
            yield str(judge), orders, int(place), [float(value) for value in odds]
        except (ValueError, TypeError):
            continue
