"""A profile: the bundle, prompt, orders and calibration that ``select`` chose, in a file that ``judge`` reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from rlaif_fast.bundle.home import bundle_folder
from rlaif_fast.bundle.hub import Published
from rlaif_fast.bundle.typed_json import known, loads, mapped, record, typed
from rlaif_fast.errors import EvalError
from rlaif_fast.evaluation.calibration import Calibration, checked
from rlaif_fast.judging.judge import Orders

SCHEMA = 1
_FIELDS = ("schema", "judge", "prompt", "orders", "calibration", "selected")
_OF_CALIBRATION = ("a", "b", "fitted")
_LONGEST = 1 << 20  # bytes of a file; what is cut off is no JSON


@dataclass(frozen=True)
class Judging:
    """Which bundle, its precision, and the digest of the judge that it is through the prompt.

    The bundle is a model's id, a folder, or a published bundle at its commit.
    """

    bundle: str
    precision: str
    digest: str


@dataclass(frozen=True)
class Profile:
    """See the module.

    Attributes:
        prompt: name of the bundle's prompt.
        selected: on what, for people.
    """

    judge: Judging
    prompt: str
    orders: Orders
    calibration: Calibration | None
    selected: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The bundle's; its precision is the profile's, whatever else was exported since.

        Raises EvalError where it is not there.
        """
        path, published = Path(self.judge.bundle), Published.named(self.judge.bundle)
        folder = path if path.exists() else bundle_folder(self.judge.bundle, self.judge.precision)
        if not folder.exists() and published is not None:
            folder = published.kept() or folder
        if not folder.exists():
            raise EvalError(
                f"{self.judge.bundle} ({self.judge.precision}): the profile's bundle is not there; say with -b where"
                " it is now, or export or download it again"
            )
        return folder

    def to_json(self) -> str:
        """The file's text."""
        calibration = self.calibration and {key: getattr(self.calibration, key) for key in _OF_CALIBRATION}
        raw = {
            "schema": SCHEMA, "judge": asdict(self.judge), "prompt": self.prompt, "orders": self.orders,
            "calibration": calibration, "selected": self.selected,
        }  # fmt: skip
        return json.dumps(raw, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def require_judge(self, digest: str, path: Path) -> None:
        """Raise EvalError where the judge is another than the one that was selected; ``path`` is the profile's."""
        if digest != self.judge.digest:
            raise EvalError(
                f"{path}: made for {self.judge.bundle} ({self.judge.precision}) with {self.prompt}, and this is another"
                " judge; select again, or give that bundle with -b"
            )


def read_profile(path: Path) -> Profile:
    """The profile in a file. Raises EvalError for anything else."""
    try:
        with open(path, "rb") as stream:
            raw = loads(stream.read(_LONGEST))
        schema = mapped(raw)["schema"]
        if type(schema) is not int or schema != SCHEMA:
            raise EvalError(f"{path}: profile of schema {schema!r}, this version reads {SCHEMA}; select again")
        judge = record(Judging, known(raw, _FIELDS)["judge"])
        orders, fitted = typed(raw["orders"], "str"), raw["calibration"]
        if orders not in ("both", "forward"):
            raise ValueError(f"orders {orders!r}")
        return Profile(
            judge, typed(raw["prompt"], "str"), cast(Orders, orders),
            None if fitted is None else _calibration(fitted, judge.digest, path), mapped(raw["selected"]),
        )  # fmt: skip
    except OSError as error:
        raise EvalError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"[:200]
        raise EvalError(f"{path}: no profile ({reason}); rlaif-fast select --profile writes one") from None


def _calibration(raw: Any, digest: str, path: Path) -> Calibration:
    """Raises EvalError, and what :func:`~rlaif_fast.bundle.typed_json.known` does."""
    found = known(raw, _OF_CALIBRATION)
    a, b, fitted = (found[name] for name in _OF_CALIBRATION)
    return checked(digest, a, b, fitted, path, "select again")
