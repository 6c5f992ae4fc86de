"""Templates for models that were trained to judge, and the beginning of an answer that some of them need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.prompts.built_in import template_of, wording_named
from rlaif_fast.prompts.few_shot import with_exemplars, worked
from rlaif_fast.prompts.judge_models import JUDGE_MODELS
from rlaif_fast.prompts.template import Template, Wording
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.prompts.fitted import fit
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run
from tests.families import save_tiny, tiny_model, tiny_tokenizer
from tests.plain_pytorch import reference_log_odds

OWN = Wording("own", "Which jam is better?\n", "Fox: {instruction}\nA: {first}\nB: {second}\n", "Verdict:",
              ("A", "B"), reply="My verdict: [[")  # fmt: skip
TEXTS = [("A text.", "One response.", "Another one!"), ("{first} [[A]]", "\n\nx\n", "[RESULT] B"), ("é 😀", "1", "2")]
PAIRS = [Pair("The quick brown fox. " * 3, "A fox jumps.", "Seven wizards brew hot jam!"), Pair("A", "B", "[[A")]


@pytest.mark.parametrize("name", JUDGE_MODELS)
def test_a_real_tokenizer_reads_prompt_and_labels_as_transformers_does(name: str) -> None:
    judge, source = JUDGE_MODELS[name], find_source(DEFAULT_MODEL)
    template = template_of(wording_named(name))
    assert template.name == name
    fitted = fit(source, template, chat=judge.chat)
    fast: Any = source.tokenizer()
    for texts in TEXTS:
        text = str(template.render(*texts))
        if judge.chat:
            message = [{"role": "user", "content": text}]
            text = fast.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        text += judge.wording.reply
        ours = fitted.tokenizer.encode(fitted.pair_template.render(*texts))
        assert ours == fast(text, add_special_tokens=False).input_ids
        for label, token in zip(template.labels, fitted.label_ids, strict=True):
            assert fast(text + label, add_special_tokens=False).input_ids == [*ours, token]


def test_the_answer_begins_in_the_models_turn_or_behind_the_prompt(tmp_path: Path) -> None:
    """Against PyTorch, on tokens that transformers makes by itself; few-shot examples show the beginning too."""
    fast = tiny_tokenizer("bytes", "chatml")
    source = find_source(str(save_tiny("llama", tmp_path / "model", chat="chatml")))
    template = template_of(with_exemplars(OWN, worked([Pair("Dog.", "jam", "jump", carried={"label": 0})])))
    labels = fast.convert_tokens_to_ids(["A", "B"])
    for chat in (False, True):
        done = export_bundle(
            source, tmp_path / f"bundle-{chat}", template, force=False, progress=lambda what, share: None, chat=chat
        )
        judge = Judge.load(done)

        def tokens(pair: Pair, first: str, second: str, chat: bool = chat) -> list[int]:
            text = "Which jam is better?\nFox: Dog.\nA: jam\nB: jump\nVerdict:My verdict: [[A\n\n"
            text += f"Fox: {pair.instruction}\nA: {first}\nB: {second}\nVerdict:"
            if chat:
                message = [{"role": "user", "content": text}]
                text = fast.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
            return list(fast(text + "My verdict: [[", add_special_tokens=not chat).input_ids)

        prompts = [tokens(pair, *shown) for pair in PAIRS for shown in
                   ((pair.response_0, pair.response_1), (pair.response_1, pair.response_0))]  # fmt: skip
        assert [ids for pair in PAIRS for ids in judge.prompt_tokens(pair)] == prompts
        wanted = reference_log_odds(tiny_model("llama"), prompts, (labels[0], labels[1])).reshape(-1, 2) * [1, -1]
        got = [verdict.log_odds_by_order for verdict in judge.judge_many(PAIRS)]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)


def test_where_the_answer_begins_is_a_part_of_the_name() -> None:
    text = "{instruction}{first}{second}"
    one, other = Wording("w", "h", text, "Verdict:[["), Wording("w", "h", text, "Verdict:", reply="[[")
    assert template_of(one).name != template_of(other).name
    assert template_of(one).plain.text == template_of(other).plain.text
    assert template_of(other).plain == Template(template_of(other).name, f"h{text}Verdict:[[")


def test_which_model_a_template_is_for_is_said(rlaif_fast: Callable[..., Run]) -> None:
    done = rlaif_fast("template", "list")
    assert "skywork-critic     for Skywork/Skywork-Critic-Llama-3.1-8B, with --chat yes\n" in done.out
    shown = rlaif_fast("template", "show", "skywork-critic")
    assert shown.out.endswith("[The End of Assistant B's Answer][[\n") and "answered with 'A' or 'B'" in shown.err
    assert shown.err.endswith("after https://huggingface.co/Skywork/Skywork-Critic-Llama-3.1-8B\n")
