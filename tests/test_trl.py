"""A preference file for TRL, given to TRL itself: loaded, checked, tokenised, and trained on for a step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from datasets import Dataset, load_dataset

from tests.conftest import Run
from tests.families import VOCABULARY, tiny_model, tiny_tokenizer
from tests.verdicts import Row, write_rows

pytest.importorskip("trl", reason="TRL before 1.0, which needs transformers 4, is not installed (make test-next)")
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer
from trl.data_utils import is_conversational, maybe_apply_chat_template, maybe_extract_prompt

QUIET: dict[str, Any] = {"use_cpu": True, "report_to": "none", "max_steps": 1, "per_device_train_batch_size": 4,
                         "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
                         "disable_tqdm": True}  # fmt: skip
PAIRS: list[Row] = [
    {"id": n, "instruction": f"Text {n}: a fox\nand “jam”", "response_0": f"The fox {n}.", "response_1": " Jam é"}
    for n in range(6)
]

Data = tuple[Dataset, list[Row]]


@pytest.fixture(scope="module")
def judged(
    llama: Path, tmp_path_factory: pytest.TempPathFactory, rlaif_fast: Callable[..., Run]
) -> Callable[[str], Data]:
    """What ``datasets`` makes of a file of a kind, and the verdicts it was made of."""

    def load(kind: str) -> Data:
        folder = tmp_path_factory.mktemp("trl")
        pairs = write_rows(folder / "pairs.jsonl", PAIRS)
        for name, more in ((f"trl.{kind}", ("--to", "trl")), ("rows.jsonl", ())):
            done = rlaif_fast("judge", pairs, "-b", llama, "-o", folder / name, *more)
            assert done.status == 0, done.err
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        builder = kind if kind in ("csv", "parquet") else "json"
        files = {"data_files": str(folder / f"trl.{kind}"), "cache_dir": str(folder / "cache")}
        return load_dataset(builder, split="train", **files), rows

    return load


@pytest.fixture(scope="module")
def data(judged: Callable[[str], Data]) -> Data:
    return judged("jsonl")


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "jsonl.gz"])
def test_what_is_loaded_is_what_was_judged(kind: str, judged: Callable[[str], Data]) -> None:
    loaded, rows = judged(kind)
    assert loaded.column_names == ["id", "prompt", "chosen", "rejected", "soft_label", "margin", "consistent"]
    for one, row in zip(loaded, rows, strict=True):
        assert (one["prompt"], one["chosen"], one["rejected"]) == (row["instruction"], row["chosen"], row["rejected"])
        assert str(one["id"]) == str(row["id"]) and one["consistent"] is row["consistent"]
        digits = 1e-9 if kind == "json" else 0  # datasets reads ten of a number in an array
        assert one["soft_label"] == pytest.approx(max(row["p1"], row["p2"]), rel=0, abs=digits)
        assert one["margin"] == pytest.approx(2 * one["soft_label"] - 1)


def test_trl_takes_the_rows_for_plain_preferences(data: Data) -> None:
    tokenizer = tiny_tokenizer()
    for one in data[0]:
        assert not is_conversational(one)
        assert maybe_extract_prompt(one) == one == maybe_apply_chat_template(one, tokenizer)


def test_dpo_trains_on_it(data: Data, tmp_path: Path) -> None:
    loaded, rows = data
    tokenizer = tiny_tokenizer()
    trainer = DPOTrainer(
        model=tiny_model("llama"), ref_model=tiny_model("llama"), args=DPOConfig(str(tmp_path), **QUIET),
        train_dataset=loaded, processing_class=tokenizer,
    )  # fmt: skip
    for one, row in zip(trainer.train_dataset, rows, strict=True):
        plain = [tokenizer(row[name], add_special_tokens=False).input_ids for name in ("chosen", "rejected")]
        assert one["prompt_input_ids"] == tokenizer(row["instruction"], add_special_tokens=False).input_ids
        assert [one["chosen_input_ids"], one["rejected_input_ids"]] == [[*ids, tokenizer.eos_token_id] for ids in plain]
    done = trainer.train()
    assert done.global_step == 1
    assert done.training_loss == pytest.approx(0.6931, abs=1e-3), "log 2: the model is its own reference"


def test_a_reward_model_trains_on_it_with_its_margin(data: Data, tmp_path: Path) -> None:
    loaded, rows = data
    tokenizer = tiny_tokenizer()
    torch.manual_seed(3)
    model = transformers.LlamaForSequenceClassification(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
            num_labels=1, initializer_range=0.3, pad_token_id=1,
        )
    )  # fmt: skip
    trainer = RewardTrainer(model=model, args=RewardConfig(str(tmp_path), **QUIET), train_dataset=loaded,
                            processing_class=tokenizer)  # fmt: skip
    for one, row in zip(trainer.train_dataset, rows, strict=True):
        for name in ("chosen", "rejected"):
            assert one[f"{name}_input_ids"] == tokenizer(row["instruction"] + row[name] + "</s>").input_ids
    batch = trainer.data_collator([trainer.train_dataset[k] for k in range(4)])
    margins = [abs(row["p1"] - row["p2"]) for row in rows[:4]]
    assert batch["margin"].tolist() == pytest.approx(margins)
    with torch.no_grad():
        loss = trainer.compute_loss(model.eval(), batch)
        rewards = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
        apart = rewards[:4] - rewards[4:] - torch.tensor(margins)
    assert float(loss) == pytest.approx(float(-torch.nn.functional.logsigmoid(apart).mean()), rel=1e-4)
    assert trainer.train().global_step == 1
