"""Run by tests/test_trl_1.py with the interpreter of an environment that has TRL 1.x: its trainers, a step each.

    python tests/trl_1.py MODEL BUNDLE PREFERENCES REPORT

MODEL is a tiny model's folder, BUNDLE one with prompts for pairs and for scores, PREFERENCES a file of ``judge --to
trl``. REPORT gets, as JSON, what the trainers logged and what the reward functions answered.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import transformers
import trl

from rlaif_fast.integrations import GroupRewardFunction, RewardFunction

STEPS = 2
QUIET: dict[str, Any] = {"use_cpu": True, "report_to": "none", "max_steps": STEPS, "per_device_train_batch_size": 4,
                         "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "logging_steps": 1,
                         "disable_tqdm": True}  # fmt: skip
PROMPTS = ["A fox jumps.", "Seven wizards brew jam.", "1\n2\n", "The lazy dog."]


class Kept:
    """A reward function, and what it was asked and answered."""

    def __init__(self, reward: Any) -> None:
        self.reward, self.__name__ = reward, reward.__name__
        self.calls: list[dict[str, Any]] = []

    def __call__(self, prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
        found = self.reward(prompts=prompts, completions=completions, **columns)
        self.calls.append({"prompts": prompts, "completions": completions, "rewards": found, "columns": [*columns]})
        return found


def main(folder: str, bundle: str, preferences: str, report: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    told: dict[str, Any] = {"versions": {"trl": trl.__version__, "transformers": transformers.__version__}}
    plain = datasets.Dataset.from_list([{"prompt": text, "note": n} for n, text in enumerate(PROMPTS)])
    talk = datasets.Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in PROMPTS])
    for name, trainer_class, config_class, rows in (
        ("grpo", trl.GRPOTrainer, trl.GRPOConfig, plain),
        ("grpo of conversations", trl.GRPOTrainer, trl.GRPOConfig, talk),
        ("rloo", trl.RLOOTrainer, trl.RLOOConfig, plain),
    ):  # fmt: skip
        rewards = [Kept(RewardFunction.load(bundle)), Kept(GroupRewardFunction.load(bundle))]
        config = config_class("unused", num_generations=4, max_completion_length=8, **QUIET)
        trainer = trainer_class(
            model=transformers.AutoModelForCausalLM.from_pretrained(folder), reward_funcs=rewards, args=config,
            train_dataset=rows, processing_class=tokenizer,
        )  # fmt: skip
        steps = trainer.train().global_step
        told[name] = {"steps": steps, "log": trainer.state.log_history, "calls": {r.__name__: r.calls for r in rewards}}
    kind = "csv" if preferences.endswith(".csv") else "json"
    pairs = datasets.load_dataset(kind, data_files=preferences, split="train")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    dpo = trl.DPOTrainer(model, args=trl.DPOConfig("unused", **QUIET), train_dataset=pairs, processing_class=tokenizer)
    told["dpo"] = {"steps": dpo.train().global_step, "log": dpo.state.log_history, "rows": len(dpo.train_dataset)}
    head = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    head.config.pad_token_id = tokenizer.pad_token_id
    reward = trl.RewardTrainer(
        head, args=trl.RewardConfig("unused", **QUIET), train_dataset=pairs, processing_class=tokenizer
    )
    told["reward"] = {
        "steps": reward.train().global_step, "log": reward.state.log_history, "rows": len(reward.train_dataset),
        "columns": reward.train_dataset.column_names,
    }  # fmt: skip
    Path(report).write_text(json.dumps(told, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
