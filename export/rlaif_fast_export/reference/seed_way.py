"""The baseline of ``rlaif-fast bench``: a pair judged the seed notebook's way, nothing left out, nothing added.

Two whole float32 forward passes a pair, logits of every position, the Hugging Face tokenizer on the
rendered prompt, softmax over the two label tokens. Run as a module, it is a fresh process to measure.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer

from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.judging.label_odds import first_odds
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import open_pairs
from rlaif_fast_export.sources.quiet import quiet_libraries
from rlaif_fast_export.sources.source import Source, find_source


class SeedWay:
    """A judge of PyTorch's, by the notebook's method.

    One thing differs: the notebook takes ``tokenizer.encode("1")[0]`` for a label, which on some
    tokenizers is a space for both. Here a label is the token that follows the prompt.
    """

    def __init__(self, source: Source, template: Template, threads: int) -> None:
        """Load the model. Raises ExportError, TemplateError."""
        torch.set_num_threads(threads)
        self._template = template
        self._tokenizer = source.tokenizer()
        own = Tokenizer.from_str(self._tokenizer.backend_tokenizer.to_str())  # the setting below is not for it
        self._labels = list(PromptTokenizer(own).label_ids(template))
        self._model = source.model()

    def __call__(self, pair: Pair) -> tuple[float, float]:
        """Log-odds of response_0: shown first, then second."""
        forward = self._log_odds(pair.instruction, pair.response_0, pair.response_1)
        swapped = self._log_odds(pair.instruction, pair.response_1, pair.response_0)
        return forward, -swapped

    def _log_odds(self, instruction: str, first: str, second: str) -> float:
        prompt = self._template.render(instruction, first, second)
        # A prompt with control tokens, a chat template's, says itself how it begins.
        inputs = self._tokenizer(str(prompt), add_special_tokens=not prompt.controls, return_tensors="pt")
        with torch.no_grad():
            outputs = self._model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        logits = outputs.logits[0, -1, self._labels]  # [2], or [3] with a label for ties
        return float(first_odds(logits[None].double().numpy())[0])


def main(arguments: list[str]) -> None:
    """``MODEL BUNDLE TEMPLATE THREADS PAIRS``: judge the first of PAIRS, print the seconds it took to load MODEL."""
    model, bundle, template, threads, path = arguments
    quiet_libraries()
    started = time.perf_counter()
    judge = SeedWay(
        find_source(model, unlisted=True), read_manifest(Path(bundle)).through(template).pair_template, int(threads)
    )
    seconds = time.perf_counter() - started
    with open_pairs(path) as intake:
        judge(next(intake.pairs()))
    print(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
