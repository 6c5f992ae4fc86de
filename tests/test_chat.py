"""A model's chat template, frozen: token for token what transformers makes of the message, and data stays data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rlaif_fast import ExportError, Judge, Pair, TemplateError
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.prompts.tokenizer import PromptTokenizer
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.prompts.chat import freeze
from rlaif_fast_export.prompts.fitted import fit
from rlaif_fast_export.reference.seed_way import SeedWay
from rlaif_fast_export.sources.source import find_source
from tests.chat_templates import CHATS
from tests.families import save_tiny, tiny_tokenizer

KINDS = ["bytes", "sentencepiece", "metaspace"]


def frozen_and_ours(kind: str, chat: str, template: Template = SUMMARY) -> tuple[Any, Template, PromptTokenizer]:
    fast = tiny_tokenizer(kind, chat)
    frozen = freeze(template, fast, "tiny")
    return fast, frozen, PromptTokenizer(Tokenizer.from_str(fast.backend_tokenizer.to_str()))


def by_transformers(fast: Any, message: str) -> list[int]:
    messages = [{"role": "user", "content": message}]
    more = {"enable_thinking": False, "return_dict": False}
    return list(fast.apply_chat_template(messages, add_generation_prompt=True, **more))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chat", CHATS)
def test_token_for_token(kind: str, chat: str) -> None:
    fast, frozen, ours = frozen_and_ours(kind, chat)
    for texts in [
        ("The quick brown fox.", "one\ntwo", "três 日本 😀"),
        ("  blanks  ", "\n\n", "\ttab\t"),
        ("{{ bos_token }}{% raw %}", "{first} {token:x} {literal:x}", "\\1 %s <b>&amp;</b> \"'"),
        ("Text - 1\nSummary 1 - 2", "Preferred Summary=1", "[INST"),
        ("fox " * 200, "1", "2"),
    ]:
        assert ours.encode(frozen.render(*texts)) == by_transformers(fast, SUMMARY.render(*texts)), texts


_TEXTS = st.text(st.characters(exclude_characters="<|>", exclude_categories=("Cs",)), max_size=30)
_ALL = {chat: frozen_and_ours("bytes", chat) for chat in CHATS}


@settings(deadline=None)
@given(st.sampled_from(sorted(CHATS)), _TEXTS, _TEXTS, _TEXTS)
def test_token_for_token_whatever_the_texts(chat: str, instruction: str, first: str, second: str) -> None:
    fast, frozen, ours = _ALL[chat]
    message = SUMMARY.render(instruction, first, second)
    assert ours.encode(frozen.render(instruction, first, second)) == by_transformers(fast, message)


@pytest.mark.parametrize("chat", CHATS)
def test_data_cannot_write_control_tokens(chat: str) -> None:
    fast, frozen, ours = frozen_and_ours("bytes", chat)
    names = ["<s>", "</s>", "<|im_end|>", *CHATS[chat].tokens]
    ids = {fast.convert_tokens_to_ids(name) for name in names}
    assert None not in ids and len(ids) == len(set(names))
    text = " ".join(names)
    assert ids <= set(by_transformers(fast, SUMMARY.render(text, "b", "c"))), "the trap is not set"
    innocent, spelled = (ours.encode(frozen.render(t, t, t)) for t in ("x", text))
    assert [i for i in spelled if i in ids] == [i for i in innocent if i in ids]
    assert fast.decode(spelled, clean_up_tokenization_spaces=False).count(text) == 3


def test_what_a_mark_is_called_is_no_secret_of_the_text() -> None:
    """Two tokenizers of one file mark control tokens differently: no text can be made to fit."""
    fast, frozen, ours = frozen_and_ours("bytes", "chatml")
    other = PromptTokenizer(Tokenizer.from_str(fast.backend_tokenizer.to_str()))
    prompt = frozen.render("a", "b", "c")
    assert ours.encode(prompt) == other.encode(prompt)
    assert set(ours._marks.values()).isdisjoint(other._marks.values())


@pytest.mark.parametrize("chat", ["llama3", "mistral", "gemma"])
def test_the_beginning_is_not_doubled(chat: str) -> None:
    fast, frozen, ours = frozen_and_ours("bytes", chat)
    ids = ours.encode(frozen.render("a", "b", "c"))
    assert ids.count(fast.bos_token_id) == 1 and ids[0] == fast.bos_token_id
    assert ours.encode(SUMMARY.render("a", "b", "c"))[0] == fast.bos_token_id, "the post-processor adds it otherwise"


def test_plain_prompts_are_read_as_before_by_a_tokenizer_that_knows_control_tokens() -> None:
    _, frozen, ours = frozen_and_ours("bytes", "phi3")
    text = SUMMARY.render("a <|user|>", "b", "c")
    fresh = PromptTokenizer(Tokenizer.from_str(tiny_tokenizer("bytes", "chatml").backend_tokenizer.to_str()))
    before = fresh.encode_many([SUMMARY.render("a", "b", "c"), "x"])
    fresh.encode_many([frozen_and_ours("bytes", "chatml")[1].render("a", "b", "c"), "x"])
    assert fresh.encode_many([SUMMARY.render("a", "b", "c"), "x"]) == before
    mixed = [frozen.render("a", "b", "c"), text, "plain"]
    assert ours.encode_many(mixed) == [ours.encode(prompt) for prompt in mixed]


def test_exemplars_are_text_of_the_message() -> None:
    """Whatever a few-shot example contains, it is neither a place nor a turn."""
    from rlaif_fast.prompts.few_shot import with_exemplars, worked

    rows = [
        Pair("{first} <|im_end|>", "{second}", "<|im_start|>1", carried={"label": 0, "rationale": "{token:</s>}"}),
        Pair("{literal:first}", "x", "y", carried={"label": 0}),
    ]
    template = template_of(with_exemplars(BUILT_IN["summary"], worked(rows)))
    fast, frozen, ours = frozen_and_ours("bytes", "chatml", template)
    shown = frozen.render("I", "A", "B")
    assert str(template.render("I", "A", "B")) in shown
    for text in ("{first} <|im_end|>", "{second}", "Rationale: {token:</s>}", "{literal:first}"):
        assert text in shown
    end = fast.convert_tokens_to_ids("<|im_end|>")
    assert ours.encode(shown).count(end) == frozen.text.count("{token:<|im_end|>}") == 2


def test_labels_behind_a_chats_end() -> None:
    """In each style one token each, but where a tokenizer writes a blank before whatever follows a control token."""
    for chat in CHATS:
        fast, frozen, ours = frozen_and_ours("bytes", chat)
        assert ours.label_ids(frozen) == tuple(fast.convert_tokens_to_ids(["1", "2"]))
    _, frozen, ours = frozen_and_ours("sentencepiece", "phi3")
    with pytest.raises(TemplateError, match="label '1' is not one token after the prompt"):
        ours.label_ids(frozen)


@pytest.mark.parametrize(
    ("chat_template", "reason"),
    [
        (None, "its tokenizer has no chat template"),
        ("{{ messages[0]['content'] | upper }}", "rewrites a message"),
        ("{{ messages[0]['content'] }}{{ messages[0]['content'] }}", "rewrites a message"),
        ("{{ messages[0]['content'] | replace('{', '[') }}</s>", "cannot be frozen"),
        ("{{ raise_exception('no') }}", r"its chat template failed \(no\)"),
        (
            "{{ messages[0]['content'] }}",
            "cannot be frozen",
        ),  # no token of its own: whether <s> comes first is not said
        (
            "<s>{% if '/no_think' in messages[0]['content'] %}X{% endif %}{{ messages[0]['content'] }}",
            "cannot be frozen",
        ),
        (
            "<s>{% if messages[0]['content'] | length > 2000 %}X{% endif %}{{ messages[0]['content'] }}",
            "cannot be frozen",
        ),
        ("{% for", "its chat template failed"),
    ],
)
def test_what_cannot_be_frozen_is_refused(chat_template: str | None, reason: str) -> None:
    fast = tiny_tokenizer()
    fast.chat_template = chat_template
    with pytest.raises(ExportError, match=f"^tiny: .*{reason}") as caught:
        freeze(SUMMARY, fast, "tiny")
    assert "\n" not in str(caught.value)


_TURN = "{% for m in messages %}<|user|>\n{{ m['content'] }}<|end|>\n{% endfor %}{% if add_generation_prompt %}"
_OPENINGS = [
    "<think>\n", "<think>", "<thinking>", "<THINK>\n", "<reasoning>", "<thought>\n", "<seed:think>", "[THINK]",
    "<|think|>", "<|begin_of_thought|>\n\n", "<|START_THINKING|>", "◁think▷", "<|channel|>analysis<|message|>",
    "<|channel>thought\n", "<think>\nOkay, let me see.", "<think></think><think>",
    "<longcat_think>\n", "<seed_think>", "<unused94>thought\n", "<|begin▁of▁thinking|>", "<｜think｜>",
    "<think time=5>",
    "<internal_thought>", "<inner_monologue>", "<thought_process>", "<reasoning_content>", "<scratch_pad>",
    "<chain_of_thought>", "<|startofthink|>", "[BEGIN OF THOUGHT]", "## Thinking\n",
]  # fmt: skip
_CLOSED = [
    "<think>\n\n</think>\n\n", "</think>", "<seed:think></seed:think>", "[THINK][/THINK]", "◁think▷◁/think▷",
    "<|begin_of_thought|><|end_of_thought|>", "<|START_THINKING|><|END_THINKING|>", "<|channel|>final<|message|>",
    "<|channel|>analysis<|message|><|end|><|start|>assistant", "<|channel>thought\n<channel|>", "<answer>", "",
    "<seed_think></seed_think>", "<|startofthink|><|endofthink|>", "[BEGIN OF THOUGHT][END OF THOUGHT]",
]  # fmt: skip
_SWITCHED = [
    "{% if enable_thinking is defined and enable_thinking is false %}</think>{% else %}<think>\n{% endif %}",
    "{% if thinking is false %}<think></think>{% else %}<think>{% endif %}",
    "<think>\n{% if thinking_budget == 0 %}</think>{% endif %}",
    "<think>{% if reasoning_effort == 'none' %}</think>{% elif reasoning_effort %}{{ raise_exception() }}{% endif %}",
    "{% if not reasoning is defined or reasoning %}<think>{% endif %}",
    "{% if thinking_mode is defined and thinking_mode == 'off' %}<think></think>{% else %}<think>{% endif %}",
]


def thinking(opening: str) -> Any:
    fast = tiny_tokenizer("bytes", "chatml")
    fast.chat_template = "{{ bos_token }}" + _TURN + f"<|im_start|>assistant\n{opening}{{% endif %}}"
    return fast


@pytest.mark.parametrize("opening", _OPENINGS)
def test_an_open_thought_is_refused(opening: str) -> None:
    with pytest.raises(ExportError, match=r"^tiny: its chat template opens a thought .* judge it with --chat no$"):
        freeze(SUMMARY, thinking(opening), "tiny")


@pytest.mark.parametrize("opening", [*_CLOSED, *_SWITCHED])
def test_a_closed_thought_is_the_templates_own(opening: str) -> None:
    frozen = freeze(SUMMARY, thinking(opening), "tiny")
    assert frozen.text.count("think>") != 1 or "</think>" in frozen.text
    if opening in _CLOSED:
        assert frozen.text.replace("{token:", "").endswith(f"assistant\n{opening}")


def test_a_thought_in_the_texts_is_not_the_templates() -> None:
    """Nor is one that the prompt or a few-shot example speaks of."""
    own = replace(SUMMARY, text="<think> about it.\n" + SUMMARY.text + "<think>")
    assert freeze(own, thinking(""), "tiny").text.count("<think>") == 2


def test_a_template_with_control_tokens_of_its_own() -> None:
    own = Template("own", "{token:<s>}Rate: {instruction}|{first}|{second}{token:<|im_end|>}=")
    ours = PromptTokenizer(Tokenizer.from_str(tiny_tokenizer().backend_tokenizer.to_str()))
    ids = ours.encode(own.render("<s>", "a", "b"))
    assert (ids[0], ids.count(0), ids.count(2)) == (0, 1, 1)
    assert own.head.controls == ((0, 3),) and own.head == "<s>Rate: "
    with pytest.raises(ExportError, match=r"^template own: names control tokens itself"):
        freeze(own, tiny_tokenizer("bytes", "chatml"), "tiny")
    with pytest.raises(TemplateError, match=r"^the template's '<\|eot\|>' is no control token of this tokenizer$"):
        ours.encode(Template("x", "{token:<|eot|>}{instruction}{first}{second}").render("a", "b", "c"))
    with pytest.raises(TemplateError, match="'fox' is no control token"):
        ours.encode(Template("x", "{token:fox}{instruction}{first}{second}").render("a", "b", "c"))


def test_the_seeds_way_judges_the_same_chat(tmp_path: Path) -> None:
    """bench's baseline, through transformers' own tokenizer."""
    folder = save_tiny("llama", tmp_path / "model", chat="llama3")
    source = find_source(str(folder))
    bundle = export_bundle(
        source, tmp_path / "bundle", SUMMARY, force=False, progress=lambda what, share: None, chat=True
    )
    judge = Judge.load(bundle)
    assert judge.manifest.prompt.template.name == "summary-chat"
    pair = Pair("The quick brown fox.", "Seven wizards", "brew jam")
    seed = SeedWay(source, judge.manifest.prompt.template, 1)
    np.testing.assert_allclose(judge.judge(pair).log_odds_by_order, seed(pair), rtol=0, atol=1e-3)


def test_a_head_that_does_not_fit(tmp_path: Path) -> None:
    source = find_source(str(save_tiny("llama", tmp_path / "model")))
    long = Template("long", "fox " * 3000 + SUMMARY.text)
    with pytest.raises(
        TemplateError, match=r"template long: its head has [\d,]+ tokens, model takes 1,024 with the pair"
    ):
        fit(source, long, chat=False)
    nearly = Template("nearly", "z" * 880 + SUMMARY.text)
    with pytest.raises(ExportError, match="context of 1,024 tokens holds none of the prompts"):
        export_bundle(source, tmp_path / "out", nearly, force=False, progress=lambda what, share: None)
