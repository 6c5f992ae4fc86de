"""A step of distilabel that labels pairs with a bundle, and a pipeline over a file that uses it.

    python examples/distilabel_step.py PAIRS.jsonl BUNDLE OUTPUT.jsonl

Where a step raises, distilabel fills the whole batch with nulls. So this one does not raise for a row: what is wrong
with it is in its column ``error``, and its neighbours are judged. Nor does it give nulls: distilabel takes a column's
type from the first fifty rows, and cannot write the rest where those are null and others are not. It reads annotations
as objects, so nothing is imported from ``__future__`` here.
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts, Step, StepInput
from distilabel.typing import StepColumns, StepOutput
from pydantic import Field, PrivateAttr

from rlaif_fast import BundleError, Judge, JudgeError, Pair, PairError
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import find_bundle
from rlaif_fast.rows.pairs import pair_from_row

NAN = float("nan")
NOTHING = {"chosen": "", "rejected": "", "label": 0, "p1": NAN, "p2": NAN, "p1_by_order": [NAN], "truncated": False}


class JudgePairs(Step):
    """Which of two generations is better.

    Input columns:
        instruction (str), generations (list[str]): two.

    Output columns:
        chosen, rejected (str), label (int), p1, p2 (float), p1_by_order (list[float]), truncated (bool): those of
            ``rlaif-fast judge``; where there is an error, the values of ``NOTHING``.
        error (str): why the row was not judged; empty where it was. Filter on it.
    """

    bundle: str = Field(description="A bundle's folder, the id of an exported model, or owner/name on the hub.")
    template: str | None = Field(default=None, description="One of the bundle's prompts; its first one by default.")
    orders: Literal["both", "forward"] = "both"
    threads: int = Field(default=0, description="Of this replica; 0 for all cores.")
    digest: str = Field(default="", description="Of the bundle: found when the step is made, part of its cache key.")

    _judge: Judge | None = PrivateAttr(None)

    def model_post_init(self, context: Any) -> None:
        """Raises BundleError: there is no bundle, or no such prompt in it."""
        self.digest = read_manifest(find_bundle(self.bundle)).through(self.template).digest
        super().model_post_init(context)

    @property
    def inputs(self) -> StepColumns:
        return ["instruction", "generations"]

    @property
    def outputs(self) -> StepColumns:
        return [*NOTHING, "error"]

    def load(self) -> None:
        """Open the bundle, once in each replica's process."""
        super().load()
        self._judge = Judge.load(self.bundle, template=self.template, threads=self.threads)
        if self._judge.digest != self.digest:
            raise BundleError(f"{self.bundle}: another bundle than when the pipeline was made")

    def unload(self) -> None:
        self._judge = None
        super().unload()

    def process(self, inputs: StepInput) -> StepOutput:
        """A row for each row, in their order."""
        pairs: dict[int, Pair] = {}
        errors: dict[int, str] = {}
        for place, row in enumerate(inputs):
            try:
                pairs[place] = self._pair(row)
            except PairError as error:
                errors[place] = str(error)
        try:
            verdicts = list(self._judge.judge_many(pairs.values(), self.orders, window=max(1, len(pairs))))
        except JudgeError as error:
            errors |= dict.fromkeys(pairs, str(error))
            verdicts = []
        judged = {place: verdict.row() for place, verdict in zip(pairs, verdicts, strict=False)}
        yield [
            row | {name: judged.get(place, NOTHING)[name] for name in NOTHING} | {"error": errors.get(place, "")}
            for place, row in enumerate(inputs)
        ]

    def _pair(self, row: dict[str, Any]) -> Pair:
        """Raises PairError: no pair, or longer than the model's context."""
        texts = row["generations"]
        if not isinstance(texts, list) or len(texts) != 2:
            raise PairError("'generations' is not a list of two")
        pair = pair_from_row({"instruction": row["instruction"], "response_0": texts[0], "response_1": texts[1]})
        self._judge.prompt_tokens(pair, self.orders)
        return pair


def main(pairs: str, bundle: str, output: str) -> None:
    with open(pairs, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    data = [row | {"generations": [row["response_0"], row["response_1"]]} for row in rows]
    with Pipeline("pairs") as pipeline:
        LoadDataFromDicts(data=data, batch_size=100) >> JudgePairs(bundle=bundle, input_batch_size=100)
    found = pipeline.run(use_cache=False)
    rows = found["default"]["train"].to_list()
    Path(output).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
