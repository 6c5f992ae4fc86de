"""Rankings equal to the float32 bundle's, at less than its cost where the judge is decided.

The int8 bundle judges a row's pairs. Its ranking is taken where its error can turn neither the label of a pair nor the
order of two responses. Else the float32 bundle judges every pair of the row, so that all numbers of a ranking are of
one bundle.

Let b be the error bound: no p1 of int8 is further than b from float32's. A label is float32's where p1 is further than
b from a half. The order is float32's where the summed wins of no two responses are within 2 b (N - 1) of each other:

- The order is that of the summed wins W_i, because all have played all. With d the share of a game that the prior
  adds, the maximum of the likelihood has, for every response i,

      W_i + d (N - 1) / 2 = (1 + d) * (sum over j other than i of sigmoid(s_i - s_j)).

  With the term of j = i, which is a half, the sum on the right is one and the same increasing function of s_i for all
  i. So s_i > s_j exactly where W_i > W_j.
- W_i - W_j = (w_ij - w_ji) + (sum over the N - 2 other k of w_ik - w_jk). As w_ji = 1 - w_ij, the first difference
  is at most 2 b off, and so is each of the others: 2 b (N - 1) together. A k that is equal to i or to j has a tie with
  it by definition, and is at most b off.
- Where neighbours in the order are further apart than that, all are.

For two responses both rules are the same one.

By a reward model every p1 follows from two rewards, and the order is that of the rewards: where the labels of all pairs
are float32's, so is the order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from rlaif_fast.judging.exact import BUDGET, BUDGETED, INT8, ExactJudge
from rlaif_fast.judging.lookahead import windows
from rlaif_fast.judging.ranking import Ranking, ranking_by, ranking_of
from rlaif_fast.judging.reward_ranking import RewardRankings
from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.runtime.forward import largest_tree
from rlaif_fast.runtime.planning import plan

_ROUNDING = 1e-9  # of summed wins: what is apart by no more than the bound's own digits is not apart
_MOST = 15  # pairs of a row that int8 tries, of 6 responses: the sums of more are seldom so far apart


class ExactRankings:
    """Ranks by an int8 bundle, and again by the float32 bundle of the same model where that could change the order.

    Attributes:
        decided: rows that int8 ranked.
        again: rows that float32 ranked behind it.
        directly: rows that float32 ranked at once.
    """

    def __init__(self, judge: ExactJudge) -> None:
        self.judge = judge
        self._rewards: tuple[RewardRankings, RewardRankings] | None = None  # by int8, by float32
        if judge.fast.manifest.by_rewards:
            self._rewards = RewardRankings(judge.fast), RewardRankings(judge.exact)
        self.decided = self.again = self.directly = 0

    def rank_many(self, many: Iterable[Candidates], *, done: int = 0) -> Iterator[Ranking]:
        """Rankings in the order of ``many``, from both orders of each pair; rows of 128 pairs are read ahead.

        Args:
            done: how many at the beginning have their rankings already.
        """
        for ahead in windows(many, BUDGETED, lambda row: max(1, row.pair_count)):
            if done < len(ahead):
                yield from self._rank_window(ahead, done)
            done = max(0, done - len(ahead))

    def _rank_window(self, rows: list[Candidates], done: int) -> Iterator[Ranking]:
        """What int8 may lose is limited for each window, as :class:`ExactJudge` has it, and may be over by one row."""
        costs = [self._costs(row) for row in rows]
        budget, loss = BUDGET * sum(float32 for _, float32 in costs), 0.0
        for place, (row, (int8, float32)) in enumerate(zip(rows, costs, strict=True)):
            found, tried = None, loss <= budget and int8 <= float32
            if tried:
                found, share = self._by_int8(row)
                loss += int8 * share - (float32 if found else 0)
            if place < done:
                continue
            if found:
                self.decided += 1
            elif tried:
                self.again += 1
            else:
                self.directly += 1
            yield found or self._by_float32(row)

    def _by_float32(self, row: Candidates) -> Ranking:
        return ranking_by(self.judge.exact, row) if self._rewards is None else self._rewards[1].rank(row)

    def _by_int8(self, row: Candidates) -> tuple[Ranking | None, float]:
        """(the ranking, None where it might not be float32's; the share of the row's pairs that were judged)."""
        if self._rewards is not None:
            ranking = self._rewards[0].rank(row)
            return (ranking if all(map(self.judge.decides, ranking.verdicts.values())) else None), 1.0
        pairs = list(row.pairs())
        verdicts = {}
        for judged, (places, pair) in enumerate(pairs, start=1):
            verdicts[places] = self.judge.fast.judge(pair)
            if not self.judge.decides(verdicts[places]):
                return None, judged / len(pairs)
        found = ranking_of(row, verdicts)
        return (found if keeps_order(found, self.judge.bound) else None), 1.0

    def _costs(self, row: Candidates) -> tuple[float, float]:
        """What int8 and float32 spend on a row, in float32's multiply-adds; a row that int8 is not to try has no cost.

        Float32's pairs share passes, int8's do not. A reward model reads each text once either way: by characters.
        """
        if self._rewards is not None:
            size = len(row.instruction) + sum(map(len, row.responses))
            return INT8 * size, float(size)
        if row.pair_count > _MOST:
            return math.inf, 0.0
        manifest = self.judge.exact.manifest
        prompt, limit = manifest.prompt, largest_tree(manifest)

        def cost(prompts: Iterable[Sequence[Sequence[int]]]) -> int:
            groups = plan(prompts, prompt.prefix_ids, manifest.cost, limit, prompt.ending)
            return sum(manifest.cost.of(group.tree.tokens, len(prompt.prefix_ids)) for group in groups)

        prompts = [self.judge.exact.prompt_tokens(pair) for _, pair in row.pairs()]
        return INT8 * sum(cost([one]) for one in prompts), cost(prompts)

    def line(self) -> str:
        """How the work was shared, for people."""
        direct = f", {self.directly} by fp32 at once" if self.directly else ""
        return f"exact: {self.decided} rows decided by int8, {self.again} judged again by fp32{direct}"


def keeps_order(ranking: Ranking, bound: float) -> bool:
    """Whether the order stays whatever each p1 is within ``bound`` of what it is; see the module."""
    first = ranking.candidates.first_places
    sums = sorted(math.fsum(wins) for place, wins in enumerate(ranking.wins) if first[place] == place)
    return all(above - below > 2 * bound * (len(first) - 1) + _ROUNDING for below, above in pairwise(sums))
