"""Prompts of every kind on every family, against PyTorch with prompts that transformers makes by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif_fast import Judge, Pair
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.few_shot import with_exemplars, worked
from rlaif_fast.prompts.template import SUMMARY, Template, Wording
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.sources.source import find_source
from tests.chat_templates import CHAT_OF
from tests.families import FAMILIES, save_tiny, tiny_model, tiny_tokenizer
from tests.plain_pytorch import reference_log_odds

LIMIT = 1e-3  # |difference in log-odds|
OWN = Wording("own", "Which jam is better?\n", "Fox: {instruction}\nA: {first}\nB: {second}\n", "Better:", ("A", "B"))
EXAMPLES = [
    Pair("The dog jumps.", "hot jam", "a lazy dog", carried={"label": 1}),
    Pair("Seven wizards.", "brew", "quick", carried={"label": 1, "rationale": "They brew."}),
]
_SHOWN = "Fox: The dog jumps.\nA: a lazy dog\nB: hot jam\nBetter:A\n\n"
_SHOWN += "Fox: Seven wizards.\nA: brew\nB: quick\nRationale: They brew.\nBetter:B\n\n"
PAIRS = [
    Pair("The quick brown fox. " * 3, "A fox jumps.", "Seven wizards brew hot jam, quickly!"),
    Pair("1 or 2?\n\nLazy dog", "  output 12\n", "três {first} {{ x }}"),
    Pair("A", "B", "A"),
]


def test_every_family_has_a_chat_template() -> None:
    assert {FAMILIES[name][0] for name in CHAT_OF} == {family for family, *_ in FAMILIES.values()}


def _bundle(folder: Path, template: Template, output: Path, chat: bool = False) -> Judge:
    source = find_source(str(folder))
    done = export_bundle(source, output, template, force=False, progress=lambda what, share: None, chat=chat)
    return Judge.load(done)


def _hold(judge: Judge, model: Any, tokens: Callable[[str, str, str], list[int]], labels: list[int]) -> None:
    """Verdicts alone and together against PyTorch on prompts that are made by ``tokens``."""
    prompts = [tokens(p.instruction, *shown) for p in PAIRS
               for shown in ((p.response_0, p.response_1), (p.response_1, p.response_0))]  # fmt: skip
    assert [ids for pair in PAIRS for ids in judge.prompt_tokens(pair)] == prompts
    wanted = reference_log_odds(model, prompts, (labels[0], labels[1])).reshape(-1, 2) * [1, -1]
    assert np.std(wanted) > 0.1, "a model that answers everything alike tests nothing"
    together = [verdict.log_odds_by_order for verdict in judge.judge_many(PAIRS)]
    alone = [judge.judge(pair).log_odds_by_order for pair in PAIRS]
    for got in (together, alone):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=LIMIT)


@pytest.mark.parametrize("name", CHAT_OF)
def test_own_template_and_two_shots(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Labels A and B, and two few-shot examples in the baked head."""
    template = template_of(with_exemplars(OWN, worked(EXAMPLES)))
    judge = _bundle(tiny_folder(name), template, tmp_path / "bundle")
    fast = tiny_tokenizer()

    def tokens(instruction: str, first: str, second: str) -> list[int]:
        text = f"Which jam is better?\n{_SHOWN}Fox: {instruction}\nA: {first}\nB: {second}\nBetter:"
        return list(fast(text)["input_ids"])

    assert judge.manifest.prompt.template == template
    assert len(judge.manifest.prompt.prefix_ids) > len(fast(_SHOWN)["input_ids"]), "the examples are baked"
    _hold(judge, tiny_model(name), tokens, fast.convert_tokens_to_ids(["A", "B"]))


@pytest.mark.parametrize("name", CHAT_OF)
def test_chat(name: str, tmp_path: Path) -> None:
    """The model's own chat template, as transformers applies it."""
    folder = save_tiny(name, tmp_path / "model", chat=CHAT_OF[name])
    judge = _bundle(folder, SUMMARY, tmp_path / "bundle", chat=True)
    fast = tiny_tokenizer(chat=CHAT_OF[name])

    def tokens(instruction: str, first: str, second: str) -> list[int]:
        messages = [{"role": "user", "content": str(SUMMARY.render(instruction, first, second))}]
        return list(
            fast.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False, return_dict=False)
        )

    _hold(judge, tiny_model(name), tokens, fast.convert_tokens_to_ids(["1", "2"]))


def test_own_template_two_shots_and_chat_together(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model", chat="chatml")
    template = template_of(with_exemplars(OWN, worked(EXAMPLES)))
    judge = _bundle(folder, template, tmp_path / "bundle", chat=True)
    fast = tiny_tokenizer(chat="chatml")

    def tokens(instruction: str, first: str, second: str) -> list[int]:
        text = f"Which jam is better?\n{_SHOWN}Fox: {instruction}\nA: {first}\nB: {second}\nBetter:"
        messages = [{"role": "user", "content": text}]
        return list(fast.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))

    _hold(judge, tiny_model("llama"), tokens, fast.convert_tokens_to_ids(["A", "B"]))
    assert judge.manifest.prompt.template.name == f"{template.name}-chat"


def test_every_built_in_template_on_one_model(tiny_folder: Callable[[str], Path]) -> None:
    """Each fits a tokenizer, with a head to bake."""
    from rlaif_fast_export.prompts.fitted import fit

    for name, wording in BUILT_IN.items():
        fitted = fit(find_source(str(tiny_folder("llama"))), template_of(wording), chat=False)
        assert len(fitted.prefix_ids) > 20, name
        assert fitted.label_ids == tuple(tiny_tokenizer().convert_tokens_to_ids(["1", "2"]))
