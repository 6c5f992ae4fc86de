"""Tiny random reward models, and what transformers answers with them: no code of the exporter or the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.chat_templates import CHAT_OF
from tests.families import FAMILIES, tiny_model, tiny_tokenizer

# As published Qwen 3 reward models have it: a thought that is left empty, and line breaks taken off.
QWEN3 = (
    "{%- for m in messages %}{%- if m.role == 'user' %}{{- '<|im_start|>user\n' + m.content + '<|im_end|>\n' }}"
    "{%- else %}{%- set content = m.content %}{%- set thought = '' %}{%- if '</think>' in content %}"
    "{%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|im_start|>assistant\n<think>\n' + thought.strip('\n') + '\n</think>\n\n' + content.lstrip('\n')"
    " + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
_KIND = "ForSequenceClassification"
_CLASSES = {"gpt2": f"GPT2{_KIND}", "gemma3": f"Gemma3Text{_KIND}"}  # that are not called as the causal one

CHATS = CHAT_OF | {"gpt2": "zephyr"}  # family -> its chat template; GPT-2's own begins with a user's text


def reward_tokenizer(name: str) -> Any:
    tokenizer = tiny_tokenizer(chat=CHATS[name])
    if name == "qwen3":
        tokenizer.chat_template = QWEN3
    return tokenizer


def reward_model(name: str, padding: str | None = None, labels: int = 1, scale: float = 0.25, **more: Any) -> Any:
    """A seeded random reward model in fp32.

    ``padding``: the token its class takes for padding; ``scale``: of its head; ``more`` is for its config.
    """
    pad = None if padding is None else reward_tokenizer(name).convert_tokens_to_ids(padding)
    causal = tiny_model(name, pad_token_id=pad, num_labels=labels, **more)
    kind = getattr(transformers, _CLASSES.get(name) or FAMILIES[name][2].replace("ForCausalLM", _KIND))
    torch.manual_seed(11)
    model = kind(causal.config).eval()
    decoder, of_causal = (next(m for m in one.children() if m is not head) for one, head in (
        (model, model.score), (causal, causal.get_output_embeddings())
    ))  # fmt: skip
    decoder.load_state_dict(of_causal.state_dict())
    model.score.weight.data = scale * torch.randn_like(model.score.weight)
    return model


def save_reward(name: str, folder: Path, padding: str | None = None, **more: Any) -> Path:
    reward_model(name, padding, **more).save_pretrained(folder)
    reward_tokenizer(name).save_pretrained(folder)
    return folder


class Oracle:
    """Rewards as a model's card computes them."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        self.model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).float().eval()
        if self.model.config.model_type in ("gemma2", "gpt2"):
            self.model.set_attn_implementation("eager")

    def tokens(self, instruction: str, response: str) -> list[int]:
        messages = [{"role": "user", "content": instruction}, {"role": "assistant", "content": response}]
        found: list[int] = self.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
        return found

    def of_tokens(self, ids: list[int]) -> float:
        with torch.no_grad():
            return float(self.model(input_ids=torch.tensor([ids])).logits[0, 0])

    def __call__(self, instruction: str, response: str) -> float:
        return self.of_tokens(self.tokens(instruction, response))
