"""Labels equal to the float32 bundle's, at less than its cost where the judge is decided.

A pair is judged by the int8 bundle first. Where its p1 is so near to a half that the int8 bundle's
error could have turned the label, the float32 bundle judges it again. How large that error can be
was measured at export (``error_bound`` of the manifest).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rlaif_fast import arguments
from rlaif_fast.bundle.float32_bundle import same_judge
from rlaif_fast.errors import BundleError
from rlaif_fast.judging.judge import WINDOW, Judge, Orders
from rlaif_fast.judging.lookahead import windows
from rlaif_fast.judging.session import OPEN
from rlaif_fast.judging.verdict import Verdict
from rlaif_fast.rows.pairs import HOW, Pair

# What int8 may lose against float32 alone, as a share of float32's time over a window: once it is spent, float32 does
# the rest of the window at once. Nothing is remembered from one window to the next, so a run that is taken up again
# decides as it would have, and judges at most one window's pairs by int8 again to know.
BUDGET = 0.03
BUDGETED = 128  # pairs of such a window
INT8 = 0.6  # an int8 pass in passes of float32, measured (docs/performance.md); less for long prompts


class ExactJudge:
    """Judges with an int8 bundle, and again with the float32 bundle of the same model where it is close."""

    def __init__(self, fast: Judge, exact: Judge) -> None:
        """Raises ArgumentError where one is no judge, BundleError where the two are no pair."""
        for name, judge in (("fast", fast), ("exact", exact)):
            arguments.instance(name, judge, Judge, OPEN)
        bound = fast.manifest.prompt.error_bound
        if bound is None:
            raise BundleError(f"{fast.manifest.name}: an error bound is for int8 bundles, this one is exact already")
        if not same_judge(fast.manifest, exact.manifest):
            raise BundleError(
                f"{exact.manifest.name} is not {fast.manifest.name} in float32: their model, template or reference"
                " answers differ; export both from the same model"
            )
        if (precision := exact.manifest.precision) != "fp32":
            raise BundleError(f"{exact.manifest.name}: a bundle of {precision}; exact needs the one of fp32")
        self.fast, self.exact, self.bound = fast, exact, bound
        self.decided = self.again = self.directly = 0

    def judge_many(
        self, pairs: Iterable[Pair], orders: Orders = "both", *, window: int = WINDOW, done: int = 0
    ) -> Iterator[Verdict]:
        """As :meth:`Judge.judge_many`; the counts tell how many pairs each bundle judged.

        Raises ArgumentError for another ``orders`` than both: the bound is one of p1 averaged over both orders.
        """
        arguments.one_of("orders", orders, ["both"])
        window, done = arguments.whole("window", window, 1), arguments.whole("done", done, 0)
        return self._judged(windows(arguments.items("pairs", pairs, Pair, HOW), min(window, BUDGETED)), done)

    def _judged(self, ahead_of: Iterator[list[Pair]], done: int) -> Iterator[Verdict]:
        for ahead in ahead_of:
            if done < len(ahead):
                yield from self._judge_window(ahead, done)
            done = max(0, done - len(ahead))

    def _judge_window(self, window: list[Pair], done: int) -> Iterator[Verdict]:
        alone, loss = _alone(window), 0.0
        for place, pair in enumerate(window):
            if loss > BUDGET * len(window):
                rest, done = window[place:], max(0, done - place)
                self.directly += len(rest) - done
                yield from self.exact.judge_many(rest, window=len(rest), done=done)
                return
            verdict = self.fast.judge(pair)
            decided = self.decides(verdict)
            loss += INT8 + (not decided) - alone
            if place < done:
                continue
            if decided:
                self.decided += 1
            else:
                self.again += 1
                verdict = self.exact.judge(pair)
            yield verdict

    def decides(self, verdict: Verdict) -> bool:
        """Whether a verdict of the int8 bundle, in both orders, has float32's label for sure."""
        return abs(verdict.p1 - 0.5) > self.bound

    def line(self) -> str:
        """How the work was shared, for people."""
        direct = f", {self.directly} by fp32 at once" if self.directly else ""
        return f"exact: {self.decided} decided by int8, {self.again} judged again by fp32{direct}"


def _alone(window: list[Pair]) -> float:
    """What float32 alone spends on a pair of the window, in passes: less than one where pairs share instructions.

    By characters, as tokens would have it: an instruction once, the responses in both orders.
    """
    answers = sum(2 * (len(pair.response_0) + len(pair.response_1)) for pair in window)
    shared = sum(map(len, {pair.instruction for pair in window}))
    return (shared + answers) / (sum(len(pair.instruction) for pair in window) + answers)
