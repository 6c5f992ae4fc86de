"""Tiny random safety models, and what transformers answers with them: no code of the exporter or the runtime.

Their chat templates are in this project's words, and of the form that the published ones have: a question around the
conversation, which takes what is asked for as an argument.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer

from tests.families import VOCABULARY, tiny_model, tiny_tokenizer

# Granite Guardian 3.0 to 3.2: roles between two tokens, the risk by its name or as a text of one's own.
_GRANITE = (
    "{%- if messages | length < 1 %}{{ raise_exception('no messages') }}{% endif -%}"
    "{%- set risks = {'harm': 'is harmful', 'social_bias': 'is biased', 'profanity': 'is profane', 'sexual_content':"
    " 'is sexual', 'unethical_behavior': 'is unethical', 'violence': 'is violent'} -%}"
    "{%- if not guardian_config %}{% set guardian_config = {'risk_name': 'harm'} %}{% endif -%}"
    "{%- if guardian_config['risk_name'] not in risks %}{{ raise_exception('no such risk') }}{% endif -%}"
    "{%- set last = messages[-1]['role'] -%}"
    "<|start_of_role|>user<|end_of_role|>Is the {{ last }} message a risk?\n\n<start_of_turn>\n"
    "{%- for m in messages %}{{ m['role'] | capitalize }} Message: {{ m['content'] }}\n\n{% endfor -%}"
    "<end_of_turn>\n\n<start_of_risk_definition>\n* The message {{ risks[guardian_config['risk_name']] }}.\n"
    "<end_of_risk_definition>\n\nIs the {{ last }} message a risk? Answer either 'Yes' or 'No'.<|end_of_text|>\n"
    "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
)
# ShieldGemma: a guideline as a text, blanks taken off, no turn of the model's own.
_GEMMA = (
    "{{ bos_token }}{% if messages[-1]['role'] == 'user' %}Does a prompt violate a policy?\n\n<start_of_turn>\n"
    "Human Question: {{ messages[-1]['content'] | trim }}\n<end_of_turn>\n\nPolicy:\n\n{{ guideline | trim }}\n\n"
    "{% else %}Does it violate a policy?\n\n<start_of_turn>\nHuman Question: {{ messages[-2]['content'] | trim }}"
    "\n<end_of_turn>\n\n<start_of_turn>\nChatbot Response: {{ messages[-1]['content'] | trim }}\n<end_of_turn>\n\n"
    "Policy:\n\n{{ guideline | trim }}\n\n{% endif %}Your answer must start with 'Yes' or 'No'.\n"
)
# Granite Guardian 4.1: roles alone, and tokens for a thought.
_GRANITE_4 = (
    "{%- for m in messages %}<|start_of_role|>{{ m['role'] }}<|end_of_role|>{{ m['content'] }}<|end_of_text|>\n"
    "{% endfor -%}{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
)
_ROLES = ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>")
_OF = {
    "granite4": (_GRANITE_4, (*_ROLES, "<think>", "</think>")),
    "granite": (_GRANITE, _ROLES),
    "gemma2": (_GEMMA, ("<start_of_turn>", "<end_of_turn>")),
}  # the model's family -> its chat template and the template's tokens
_ANSWERS = {  # merges
    "Ye": ["Y", "e"], "Yes": ["Ye", "s"], "No": ["N", "o"], "ĠNo": ["Ġ", "No"], "ĠYes": ["Ġ", "Yes"], "ye": ["y", "e"],
    "yes": ["ye", "s"], "Ġyes": ["Ġ", "yes"], "Ġno": ["Ġ", "no"], "no": ["n", "o"],
}  # fmt: skip


def guard_tokenizer(family: str) -> Any:
    """Byte-level BPE that has both answers as a token each, with a space before them as another."""
    template, tokens = _OF[family]
    fast = tiny_tokenizer()
    written = json.loads(fast.backend_tokenizer.to_str())
    for merged in _ANSWERS:
        written["model"]["vocab"][merged] = len(written["model"]["vocab"])
    written["model"]["merges"][:0] = _ANSWERS.values()
    tokenizer = Tokenizer.from_str(json.dumps(written))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
    if family != "gemma2":
        tokenizer.post_processor = None  # of its kind none adds a token
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=template
    )


def save_guard(family: str, folder: Path, **more: Any) -> Path:
    tiny_model(family, vocab_size=VOCABULARY + 16, max_position_embeddings=4096, **more).save_pretrained(folder)
    guard_tokenizer(family).save_pretrained(folder)
    return folder


class Oracle:
    """How likely "Yes" is of "Yes" and "No", as the models' cards compute it; or " yes" behind how an answer begins."""

    def __init__(self, folder: Path, turn: bool, question: str = "", reply: str = "", **arguments: Any) -> None:
        self.question, self.reply, self.answers = question, reply, ["Ġyes", "Ġno"] if reply else ["Yes", "No"]
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()
        if self.model.config.model_type == "gemma2":
            self.model.set_attn_implementation("eager")
        self.arguments = {"add_generation_prompt": turn, **arguments}

    def tokens(self, instruction: str, response: str) -> list[int]:
        chat = [{"role": "user", "content": instruction}, {"role": "assistant", "content": response}]
        chat += [{"role": "user", "content": self.question}] if self.question else []
        written = self.tokenizer.apply_chat_template(chat, tokenize=False, **self.arguments)
        found: list[int] = self.tokenizer(written + self.reply, add_special_tokens=False).input_ids
        return found

    def __call__(self, instruction: str, response: str) -> float:
        vocabulary = self.tokenizer.get_vocab()
        with torch.no_grad():
            logits = self.model(torch.tensor([self.tokens(instruction, response)])).logits[0, -1]
        answers = logits[[vocabulary[answer] for answer in self.answers]].double()
        return float(torch.softmax(answers, 0)[0])
