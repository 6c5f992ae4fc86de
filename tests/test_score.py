"""Scores of single responses against PyTorch, by brute force over the strings "1" to "10"."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from rlaif_fast import BundleError, Judge, PairError
from rlaif_fast.errors import TemplateError
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.rating import rating_of
from rlaif_fast.prompts.score_template import DIGITS, SCORE_TEMPLATES, SCORES, ScoreTemplate
from rlaif_fast.rows.samples import Sample
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.sources.source import find_source
from tests.conftest import Run
from tests.families import FAMILIES, save_tiny, tiny_model, tiny_tokenizer

TEMPLATE = SCORE_TEMPLATES["score-summary"]
SAMPLES = [
    Sample(text, response, id=n)
    for n, (text, response) in enumerate(
        (text, response)
        for text in ("A fox jumps.", "Seven wizards brew hot jam while the lazy dog sleeps. " * 6, "1\n10\n")
        for response in ("The fox.", "Wizards make jam; 10 of 10.", "Score=10")
    )
]


def export_score(folder: Path, output: Path, template: ScoreTemplate = TEMPLATE) -> Path:
    return export_bundle(
        find_source(str(folder)), output, template, force=False, progress=lambda what, share: None, int8=None
    )


@pytest.fixture(scope="module")
def bundle(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = export_score(tiny_folder(name), tmp_path_factory.mktemp("scores") / name)
        return made[name]

    return of


def _log_p(model: Any, prompt: list[int], answer: list[int]) -> float:
    """Natural log of the probability that ``answer`` follows, a forward pass a token."""
    found = 0.0
    for n, token in enumerate(answer):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + answer[:n]])).logits[0, -1].double()
        found += float(torch.log_softmax(logits, -1)[token])
    return found


def _by_brute_force(model: Any, tokenizer: Any, sample: Sample) -> tuple[np.ndarray[Any, Any], float]:
    """Probabilities of the scores, and of any of them, from their spelled-out tokens."""
    tokenizer.backend_tokenizer.encode_special_tokens = True
    text = TEMPLATE.render(sample.instruction, sample.response)
    prompt = tokenizer(text).input_ids

    def follows(answer: str) -> float:
        whole = tokenizer(text + answer).input_ids
        assert whole[: len(prompt)] == prompt
        return float(np.exp(_log_p(model, prompt, whole[len(prompt) :])))

    scores = np.array([follows(str(score)) for score in range(1, 11)])
    if len(tokenizer(text + "10").input_ids) > len(prompt) + 1:
        scores[0] -= sum(follows(f"1{digit}") for digit in range(10))  # "1" and then no digit
    return scores / scores.sum(), float(scores.sum())


@pytest.mark.parametrize("name", [*FAMILIES, "granite", "cohere"])
def test_every_family_scores_as_pytorch(name: str, bundle: Callable[[str], Path]) -> None:
    rater, model, tokenizer = Rater.load(bundle(name)), tiny_model(name), tiny_tokenizer()
    assert rater.manifest.prompt.template.labels == DIGITS
    found = list(rater.rate_many(SAMPLES))
    for rating in found:
        wanted, mass = _by_brute_force(model, tokenizer, rating.sample)
        assert np.abs(np.array(rating.distribution) - wanted).max() < 1e-4
        assert rating.mass == pytest.approx(mass, rel=1e-3)
        assert rating.rating == pytest.approx(float(wanted @ np.arange(1, 11)), abs=1e-3)
        assert rating.score == pytest.approx((rating.rating - 5.5) / 4.5)
    spread = np.std([rating.rating for rating in found])
    assert spread > 0.02, "a model that answers everything alike tests nothing"
    for sample, rating in zip(SAMPLES, found, strict=True):
        assert rater.rate(sample).rating == pytest.approx(rating.rating, abs=1e-4)


def test_where_ten_is_one_token(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path / "model")
    written = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    ten = len(written["model"]["vocab"])
    written["model"]["vocab"]["10"] = ten  # which merging comes to
    written["model"]["merges"].append(["1", "0"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(written)), bos_token="<s>", eos_token="</s>"
    )
    model = tiny_model("llama")
    model.resize_token_embeddings(ten + 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rater = Rater.load(export_score(folder, tmp_path / "bundle"))
    assert rater.manifest.prompt.template.labels == SCORES and rater.manifest.prompt.label_ids[-1] == ten
    for rating in rater.rate_many(SAMPLES[:3]):
        wanted, mass = _by_brute_force(model, tokenizer, rating.sample)
        assert np.abs(np.array(rating.distribution) - wanted).max() < 1e-4
        assert rating.mass == pytest.approx(mass, rel=1e-3)


def test_the_arithmetic_of_ten() -> None:
    digits = np.log(np.full((2, 10), 1e-9))
    digits[0, 1] = np.log(0.6)  # "1" ...
    digits[0, 7] = np.log(0.2)
    digits[1, 0] = np.log(0.5)  # ... and then "0"
    digits[1, 3] = np.log(0.25)  # "13" is no score
    rating = rating_of(SAMPLES[0], digits)
    assert rating.mass == pytest.approx(0.6 * 0.25 + 0.2 + 0.6 * 0.5, abs=1e-6)
    assert rating.distribution[0] == pytest.approx(0.15 / 0.65, abs=1e-6)
    assert rating.distribution[9] == pytest.approx(0.3 / 0.65, abs=1e-6)
    assert rating.rating == pytest.approx((0.15 * 1 + 0.2 * 7 + 0.3 * 10) / 0.65, abs=1e-5)
    sure = np.log(np.full((1, 10), 1e-12))
    sure[0, 9] = 0.0
    assert rating_of(SAMPLES[0], sure).score == pytest.approx(1.0)


def test_what_is_made_for_the_other_is_refused(bundle: Callable[[str], Path], llama: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BundleError,
        match=r"no prompt for pairs in this bundle, there is: score-summary; to add one: .* --template summary",
    ):
        Judge.load(bundle("llama"))
    with pytest.raises(
        BundleError,
        match=r"no prompt for scores in this bundle, there is: summary; to add one: .* --template score-summary",
    ):
        Rater.load(llama)
    with pytest.raises(Exception, match="int8 is fitted to a prompt for pairs"):
        export_bundle(
            find_source(str(save_tiny("llama", tmp_path / "m"))), tmp_path / "b", TEMPLATE, force=False,
            progress=lambda what, share: None, int8=Int8Options(),
        )  # fmt: skip
    with pytest.raises(TemplateError, match=r"needs \{instruction\} and \{response\} once each"):
        ScoreTemplate("t", "{instruction} {first}")


def test_long_samples(bundle: Callable[[str], Path]) -> None:
    rater = Rater.load(bundle("gpt2"))
    long = Sample("The quick brown fox. " * 400, "A fox.", where="rows.jsonl, line 3")
    with pytest.raises(PairError, match=r"^rows.jsonl, line 3: the prompt has [0-9,]+ tokens"):
        rater.rate(long)
    short = rater.shortened(long)
    assert short.shown is not None and long.instruction.startswith(short.shown)
    assert len(rater.prompt_tokens(short)[-1]) <= rater.manifest.maximum_length
    assert rater.rate(short).row()["truncated"] is True
    with pytest.raises(PairError, match="the response alone is too long"):
        rater.shortened(replace(long, response="The quick brown fox. " * 400))


def test_the_command(bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"id": s.id, "instruction": s.instruction, "response": s.response, "score": "theirs"}) + "\n"
            for s in SAMPLES
        )
    )
    done = rlaif_fast("score", rows, "-b", bundle("llama"), "-o", tmp_path / "out.jsonl")
    assert done.status == 0, done.err
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    wanted = [r.row() for r in Rater.load(bundle("llama")).rate_many(SAMPLES, window=1024)]
    assert [row["id"] for row in found] == [s.id for s in SAMPLES]
    assert all(abs(a["score"] - b["score"]) < 1e-9 for a, b in zip(found, wanted, strict=True))
    assert found[0]["input_score"] == "theirs" and len(found[0]["distribution"]) == 10
    assert re.search(rf"{len(SAMPLES)} responses, .*mean score \S+, \S+ responses/s, scored in \S+ s\n$", done.err)
    printed = rlaif_fast("score", rows, "-b", bundle("llama"))
    assert printed.out == (tmp_path / "out.jsonl").read_text()
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"instruction": "i", "response": "r"}\n{"instruction": "i"}\n')
    refused = rlaif_fast("score", bad, "-b", bundle("llama"), "-o", tmp_path / "good.jsonl")
    assert refused.status == 1 and "bad.jsonl, line 2: field 'response' is missing" in refused.err
    assert not (tmp_path / "good.jsonl").exists()
    skipped = rlaif_fast("score", bad, "-b", bundle("llama"), "-o", tmp_path / "good.jsonl", "--on-error", "skip")
    assert skipped.status == 1 and "1 skipped" in skipped.err
    wrong = rlaif_fast("judge", rows, "-b", bundle("llama"))
    assert wrong.status == 1 and "error: " in wrong.err


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_scores_of_little_mass_are_dropped_or_marked(
    kind: str, bundle: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / f"out.{kind}"
    rows.write_text("".join(json.dumps({"instruction": s.instruction, "response": s.response}) + "\n" for s in SAMPLES))
    command = ("score", rows, "-b", bundle("llama"))
    every = [json.loads(line) for line in rlaif_fast(*command).out.splitlines()]
    least = sorted(row["mass"] for row in every)[len(every) // 2]
    wanted = [row for row in every if row["mass"] >= least]
    assert 0 < len(wanted) < len(every)
    counts = f", {len(wanted)} scores kept and {len(every) - len(wanted)} "
    done = rlaif_fast(*command, "--min-mass", least, "-o", out)
    assert done.status == 0 and f"{counts}dropped ({len(every) - len(wanted)} below the mass), " in done.err
    if kind == "jsonl":
        assert [json.loads(line) for line in out.read_text().splitlines()] == wanted
    else:
        with open(out, newline="") as stream:
            assert [float(row["mass"]) for row in csv.DictReader(stream)] == [row["mass"] for row in wanted]
    marked = rlaif_fast(*command, "--min-mass", least, "--mark")
    found = [json.loads(line) for line in marked.out.splitlines()]
    assert [row.pop("kept") for row in found] == [row in wanted for row in every] and found == every
    assert f"{counts}marked (" in marked.err
    wrong = rlaif_fast(*command, "--mark")
    assert wrong.status == 2 and "--mark needs --min-mass" in wrong.err
