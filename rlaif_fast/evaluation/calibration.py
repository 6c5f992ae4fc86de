"""Temperature and position offset: fitted on labelled verdicts, kept in a file, applied to later ones.

In an order, let x be the log-odds of the response shown first. Calibrated it is a * x + b. 1/a is the temperature
(Guo et al. 2017, arXiv 1706.04599); b takes away the leaning to the first position, as PriDe does with its prior
(Zheng et al. 2023, arXiv 2309.03882). Seen from response_0, b is added in the forward order and subtracted in the
swapped one, so exchanging the responses exchanges p1 and p2, as before. As a is positive, a label averaged over both
orders does not change, only how sure p1 is; a label of one order does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rlaif_fast.bundle.typed_json import known, loads, mapped
from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.records import Floats, Sample
from rlaif_fast.judging.judge import Orders
from rlaif_fast.judging.verdict import Verdict

SCHEMA = 1
_FIELDS = ("bundle", "a", "b", "fitted")
_LIMITS = (1e-3, 1e3)  # of a
_LARGEST = 1e6  # of a and b in a file; a NaN is not below it either
_LONGEST = 1 << 20  # bytes of a file; what is cut off is no JSON
_GRID = 601  # values of log a that are tried before bisection
_STEPS = 80
_FLAT = 1e-12  # of the log loss: a judge that is right about every pair leaves nothing to tell two temperatures by


@dataclass(frozen=True)
class Calibration:
    """See the module.

    Attributes:
        bundle: digest of the bundle it belongs to, seen through the prompt.
        a: factor of the log-odds; the temperature's inverse.
        b: added to the log-odds of the response shown first.
        fitted: on what, for people and for later questions.
    """

    bundle: str
    a: float
    b: float
    fitted: Mapping[str, Any]

    def __call__(self, verdict: Verdict) -> Verdict:
        """The verdict with calibrated log-odds in every order it has.

        It says nothing of ties any more: p1 is fitted to pairs of which people prefer one.
        """
        added = (self.b, -self.b)
        odds = tuple(self.a * d + b for d, b in zip(verdict.log_odds_by_order, added, strict=False))
        return replace(verdict, log_odds_by_order=odds, p_tie_by_order=None)

    def on(self, sample: Sample) -> Sample:
        """The same for arrays."""
        with np.errstate(invalid="ignore"):  # of an order that was not judged
            p1 = _sigmoid(self.a * sample.log_odds + self.b * np.array([1.0, -1.0]))
        return replace(sample, by_order=p1, p1=np.nanmean(p1, 1))

    @property
    def digest(self) -> str:
        """sha256 of what it does."""
        return hashlib.sha256(json.dumps([self.bundle, self.a, self.b]).encode()).hexdigest()

    @property
    def at_limit(self) -> bool:
        """Whether the best temperature lies outside of what is tried: the log-odds told nothing, or everything."""
        return self.a in _LIMITS

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    def require_bundle(self, digest: str, path: Path | str) -> None:
        """Raise EvalError where it belongs to another bundle, or to another prompt of it."""
        if self.bundle != digest:
            raise EvalError(
                f"{path}: fitted to another bundle; fit one to this bundle with `rlaif-fast eval --fit`, through the"
                " same prompt"
            )


def read_calibration(path: str | Path) -> Calibration:
    """The calibration in a file of ``eval --fit``. Raises EvalError."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            raw = loads(stream.read(_LONGEST).decode())
        schema = mapped(raw)["schema"]
        if type(schema) is not int or schema != SCHEMA:
            raise EvalError(f"{path}: schema {schema!r}, this version reads {SCHEMA}; fit it again")
        found = known(raw, ("schema", *_FIELDS))
        bundle, a, b, fitted = (found[name] for name in _FIELDS)
    except OSError as error:
        raise EvalError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)[:200]
        raise EvalError(f"{path}: no calibration, give a file written by `rlaif-fast eval --fit` ({reason})") from None
    return checked(bundle, a, b, fitted, path)


def checked(bundle: Any, a: Any, b: Any, fitted: Any, path: Path, advice: str = "fit it again") -> Calibration:
    """The calibration of values that were read from the file ``path``. Raises EvalError, with the advice."""
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= _LARGEST for x in (a, b))
    if not (numbers and a > 0 and isinstance(bundle, str) and isinstance(fitted, dict)):
        raise EvalError(f"{path}: not a complete calibration (a must be above 0, b a number); {advice}")
    return Calibration(bundle, float(a), float(b), fitted)


def fit(sample: Sample, orders: Orders | None = "both") -> tuple[float, float]:
    """(a, b) for pairs judged in both orders; of a reward model, which reads none, b is 0.

    b / a is minus the mean log-odds of the response shown first, over all prompts; it needs no label. Then a is where
    the log loss of p1 is least, among 0.001 to 1,000.

    Args:
        orders: what p1 is of: the mean of both orders; "forward", each order by itself; None, a reward model.

    Raises:
        EvalError: a pair was judged in one order only, where position and response cannot be told apart.
    """
    odds = sample.log_odds
    if orders is None:
        return _least((odds * np.where(sample.human_0, 1.0, -1.0)[:, None])[:, :1]), 0.0
    if np.isnan(odds).any():
        raise EvalError("a calibration is fitted to both orders; judge with --orders both")
    lean = float((odds @ [0.5, -0.5]).mean())
    centred = (odds - lean * np.array([1.0, -1.0])) * np.where(sample.human_0, 1.0, -1.0)[:, None]
    a = _least(centred if orders == "both" else centred.reshape(-1, 1))
    return a, -a * lean


def _least(signed: Floats) -> float:
    """The a > 0 with the least log loss; ``signed`` [n, orders] are log-odds of what people prefer."""
    grid = np.geomspace(*_LIMITS, _GRID)
    losses = np.array([_loss(a, signed) for a in grid])
    as_good = losses <= losses.min() + _FLAT
    if as_good[0] or as_good[-1]:
        return _LIMITS[0 if as_good[0] else 1]
    best = int(np.argmin(losses))
    low, high = float(grid[best - 1]), float(grid[best + 1])
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(middle, signed) < 0 else (low, middle)
    return (low + high) / 2


def _loss(a: float, signed: Floats) -> float:
    """-mean log of the mean over orders of sigmoid(a * signed), less log 2."""
    return -float(np.logaddexp.reduce(_log_sigmoid(a * signed), axis=1).mean())


def _slope(a: float, signed: Floats) -> float:
    """Derivative of :func:`_loss`."""
    logs = _log_sigmoid(a * signed)
    weights = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    return -float((weights * signed * _sigmoid(-a * signed)).sum(1).mean())


def _log_sigmoid(x: Floats) -> Floats:
    logs: Floats = -np.logaddexp(0.0, -x)
    return logs


def _sigmoid(x: Floats) -> Floats:
    p: Floats = np.exp(_log_sigmoid(x))
    return p
