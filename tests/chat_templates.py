"""Chat templates as the supported families have them, cut to what a single message of a user meets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chat:
    """A chat template and the control tokens it needs."""

    template: str
    tokens: tuple[str, ...]
    not_special: tuple[str, ...] = ()  # tokens that the tokenizer does not call special


_CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
)
CHATS = {
    # SmolLM2, Qwen2: a default system message.
    "chatml": Chat(_CHATML + "{% endif %}", ("<|im_start|>", "<|im_end|>")),
    # Qwen3: thinking can be left out; its marks are not special.
    "qwen3": Chat(
        _CHATML + "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>"), ("<think>", "</think>"),
    ),
    # Llama 3: begins with the token the post-processor would add as well, and trims.
    "llama3": Chat(
        "{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
        " + m['content'] | trim + '<|eot_id|>' %}{% if loop.first %}{{ bos_token }}{% endif %}{{ content }}{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    # Mistral: no mark behind the user's turn but its own; refuses two users in a row.
    "mistral": Chat(
        "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ ' [INST] ' + m['content'] + ' [/INST]' }}"
        "{% endfor %}",
        (),
    ),
    # Gemma: trims, and answers as "model".
    "gemma": Chat(
        "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] | trim"
        " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    # Phi-3: its marks swallow the line break behind them, and were not special.
    "phi3": Chat(
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        ("<|user|>", "<|end|>", "<|assistant|>"), ("<|user|>", "<|end|>", "<|assistant|>"),
    ),
    # Zephyr, StableLM: roles in ordinary text, a token at the end of a turn.
    "zephyr": Chat(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        (),
    ),
    # DialoGPT: nothing but the end of a turn.
    "turns": Chat("{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}", ()),
}  # fmt: skip

# The template its real models have, for each family of tests/families.py.
CHAT_OF = {
    "phi": "phi3", "llama": "llama3", "qwen2": "chatml", "qwen3": "qwen3", "mistral": "mistral", "gemma": "gemma",
    "gemma2": "gemma", "gemma3": "gemma", "gpt-neox": "zephyr", "gpt2": "turns",
}  # fmt: skip
