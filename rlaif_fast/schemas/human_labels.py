"""What the label of a row says, in every spelling that files have, and whose preference it is."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

Label = Literal[0, 1, "tie"] | None  # None: nobody was asked, or nobody answered
Maker = Literal["people", "file", "model"]

_SHORT = 60  # characters of a value that are shown
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
# As data sets spell them: LMSYS's winner has "tie" and "tie (bothbad)", pandas and SQL write gaps as text.
_TIES = {"tie", "tied", "draw", "equal", "same", "both", "bothbad", "bothgood", "neither", "tiebothbad", "tiebothgood"}
_GAPS = {"", "null", "none", "nan", "na", "n/a", "<na>", "unknown", "missing"}
_ANNOTATORS = ("annotator", "judge", "judge_model", "judge_name", "evaluator", "labeler", "labelling_model",
               "labeling_model", "annotator_model", "label_source", "preference_source")  # fmt: skip
_MODELS = re.compile(
    r"gpt|claude|gemini|palm|llama|qwen|mistral|mixtral|deepseek|gemma|grok|vicuna|prometheus|nemotron|skywork"
    r"|alpaca.?eval|command-r|rlaif|reward|\bo[1-9]\b|\bphi\b|llm|\bai\b|model",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"\s*[ab]\s*(>{1,2}|=)\s*[ab]\s*", re.IGNORECASE)
_SCORED = re.compile(r"score|rating|reward", re.IGNORECASE)
_WHOSE: dict[Maker, str] = {
    "people": "people", "file": "the file's preferences", "model": "a model's preferences",
}  # fmt: skip


def read_label(value: Any) -> Label:
    """0 or 1, the index of the preferred response; "tie"; None for a gap.

    Taken are numbers (0.0 and 1.0 are what pandas makes of a column with gaps) and their text; 0.5 is a tie, -1 a gap
    (so data sets mark rows without a label).

    Raises:
        ValueError: anything else, without the place.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number: Any = None if isinstance(value, bool) or not isinstance(value, Real) else value  # numpy's too
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _GAPS:
            return None
        if re.sub(r"[\s_()-]", "", text) in _TIES:
            return "tie"
        number = float(text) if _NUMBER.fullmatch(text, endpos=40) and len(text) <= 40 else None
    if number == 0 or number == 1:
        return 1 if number else 0
    if number == 0.5:
        return "tie"
    if number == -1:
        return None
    shown = repr(value)
    shown = shown if len(shown) <= _SHORT else shown[: _SHORT - 1] + "…"
    counted = "; one that counts from 1 is read with --fields human_label_from_1=label" if number in (2, 1.5) else ""
    raise ValueError(f"the human label is {shown}; it is 0 or 1, the index of the preferred response{counted}")


@dataclass
class LeftOut:
    """Rows whose label prefers neither response.

    Attributes:
        gaps: rows without a label.
    """

    ties: int = 0
    gaps: int = 0

    def __call__(self, label: Label) -> bool:
        """Count it where it prefers neither; whether it does."""
        self.ties += label == "tie"
        self.gaps += label is None
        return label is None or label == "tie"

    def __str__(self) -> str:
        """For people; empty where nothing was left out."""
        parts = [f"{self.ties} {'tie' if self.ties == 1 else 'ties'}"] * bool(self.ties)
        parts += [f"{self.gaps} without a label"] * bool(self.gaps)
        return f"left out: {', '.join(parts)}" if parts else ""


def is_judged(row: Collection[str]) -> bool:
    """Whether a row in TRL's shape was written by ``judge --to trl``, so that a judge chose."""
    return all(name in row for name in ("soft_label", "margin", "consistent"))


def said_maker(row: Mapping[str, Any]) -> Maker | None:
    """Who made a row's preference where it says so: "model" by a judge's columns or a model's name as annotator.

    Scores beside the responses are a model's as a rule, but do not say so: "file". So is a label in letters, "A>B",
    which judges of benchmarks and their answer keys write.
    """
    if is_judged(row):
        return "model"
    named = [row[name] for name in _ANNOTATORS if name in row]
    texts = [text for value in named for text in (value if isinstance(value, list) else [value])]
    if any(isinstance(text, str) and _MODELS.search(text) for text in texts):
        return "model"
    return "file" if _scores(row) or _LETTERS.fullmatch(str(row.get("input_label", ""))) else None


def tied(row: Mapping[str, Any]) -> bool:
    """Whether a row of ``chosen`` and ``rejected`` says that none was: equal scores, or a status "tie"."""
    said = any(row.get(name) in ("tie", "tied") for name in ("status", "winner"))
    return said or any(one is not None and one == other for one, other in _scores(row))


def _scores(row: Mapping[str, Any]) -> list[tuple[float | None, float | None]]:
    """The scores of (chosen, rejected), under every pair of names such as ``score_chosen`` and ``score_rejected``."""
    names = [(name, name.replace("chosen", "rejected")) for name in row if "chosen" in name and _SCORED.search(name)]
    return [(_score(row[one]), _score(row[other])) for one, other in names if other in row]


def _score(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool | None) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def label_name(row: Mapping[str, Any]) -> str:
    """What a verdict calls the ``label`` of the row that was judged, a person's unless that row says otherwise."""
    return "human_label" if said_maker(row) is None else "file_label"


def maker(labels: Iterable[Label], said: Iterable[Maker | None]) -> Maker:
    """Whose preferences the labels of a file are, from what its rows say of them.

    Not known, and so the file's own, where they follow from scores, or where all are 0: that is how rows of
    ``chosen`` and ``rejected`` are read, which do not say who chose.
    """
    found = set(said)
    if "model" in found:
        return "model"
    return "file" if "file" in found or 1 not in labels else "people"


def whose(made_by: Maker) -> str:
    """Who prefers a response: "… prefer" and "… are for"."""
    return _WHOSE[made_by]


def labels_of(made_by: Maker) -> str:
    """What a judge is compared with: "agreement with …"."""
    return "human labels" if made_by == "people" else _WHOSE[made_by]
