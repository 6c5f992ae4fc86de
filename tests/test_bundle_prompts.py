"""Several prompts in one bundle: the graph and the weights know none of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlaif_fast import BundleError, Judge
from rlaif_fast.bundle.editing import remove_prompts
from rlaif_fast.bundle.float32_bundle import float32_of
from rlaif_fast.bundle.folder import Bundle, read_manifest
from rlaif_fast.bundle.manifest import HEAD, MODEL, WEIGHTS
from rlaif_fast.errors import ExportError, FidelityError
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.built_in import BUILT_IN, template_of
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.prompts.template import SUMMARY, Template
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample
from rlaif_fast_export.adding import add_prompts
from rlaif_fast_export.exporter import export_bundle
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.sources.source import find_source
from tests.conftest import ROOT, Run
from tests.families import FAMILIES, save_tiny, tiny_model
from tests.plain_pytorch import reference_log_odds

HELPFUL, HARMLESS = (template_of(BUILT_IN[name]) for name in ("helpful", "harmless-detailed"))
LETTERS = Template("letters", "Which is better?\n{instruction}\nA: {first}\nB: {second}\nAnswer: ", ("A", "B"))
SCORE = SCORE_TEMPLATES["score-helpful"]
PAIRS = [
    Pair("The quick brown fox jumps over the lazy dog.", "A fox jumps.", "A dog sleeps."),
    Pair("Seven wizards brew hot jam. " * 5, "Wizards make jam.", "The quick brown fox.\n"),
    Pair("1\n2\n", "2", "1"),
]


def _quiet(what: str, share: float) -> None:
    pass


def export(model: Path, output: Path, *templates: object, **more: object) -> Path:
    first, *others = templates
    return export_bundle(
        find_source(str(model)),
        output,
        first,
        more=others,
        force=False,
        progress=_quiet,
        **more,  # type: ignore[arg-type]
    )


def log_odds(judge: Judge) -> np.ndarray:
    return np.array([judge.judge(pair).log_odds_by_order for pair in PAIRS])


@pytest.fixture
def bundle(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """Of a tied model (its head is its embedding), with two prompts for pairs and one for scores."""
    return export(tiny_folder("gemma2"), tmp_path / "bundle", SUMMARY, HELPFUL, SCORE)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_prompt_answers_as_pytorch(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = export(tiny_folder(name), tmp_path / "bundle", SUMMARY, HARMLESS, LETTERS)
    exact = tiny_model(name)
    for template in (SUMMARY, HARMLESS, LETTERS):
        judge = Judge.load(folder, template=template.name)
        for pair in PAIRS:
            labels = judge.manifest.prompt.label_ids
            wanted = reference_log_odds(exact, judge.prompt_tokens(pair), labels) * [1, -1]
            assert np.abs(np.array(judge.judge(pair).log_odds_by_order) - wanted).max() < 1e-3
    assert Judge.load(folder).manifest.prompt.name == "summary", "the first is what is used without a name"


def test_a_prompt_is_what_an_export_of_its_own_makes(
    bundle: Path, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whichever comes first, the graph and the weights are the same bytes, and so are the answers."""
    alone = export(tiny_folder("gemma2"), tmp_path / "alone", HELPFUL)
    for file in (MODEL, WEIGHTS):
        assert (alone / file).read_bytes() == (bundle / file).read_bytes()
    among = Judge.load(bundle, template="helpful")
    assert np.abs(log_odds(among) - log_odds(Judge.load(alone))).max() < 1e-5
    assert np.array_equal(log_odds(Judge.beside(Judge.load(bundle), "helpful")), log_odds(among))


def test_a_prompt_is_added_and_removed(bundle: Path, tiny_folder: Callable[[str], Path]) -> None:
    source, before = find_source(str(tiny_folder("gemma2"))), log_odds(Judge.load(bundle))
    digest = Judge.load(bundle).digest
    assert add_prompts(bundle, source, [LETTERS], chat=False, progress=_quiet) == ["letters"]
    assert [prompt.name for prompt in read_manifest(bundle).prompts] == ["summary", "helpful", SCORE.name, "letters"]
    assert np.array_equal(log_odds(Judge.load(bundle)), before)
    assert Judge.load(bundle).digest == digest, "what was judged so far can be gone on with"
    assert np.abs(log_odds(Judge.load(bundle, template="letters")) - before).max() > 1e-3
    with pytest.raises(BundleError, match="has a prompt 'letters' already; --force replaces it"):
        add_prompts(bundle, source, [LETTERS], chat=False, progress=_quiet)
    other = Template("letters", "Choose!\n{instruction}\nA: {first}\nB: {second}\nAnswer: ", ("A", "B"))
    add_prompts(bundle, source, [other], chat=False, progress=_quiet, force=True)
    assert Judge.load(bundle, template="letters").manifest.prompt.template == other
    remove_prompts(bundle, ["letters", SCORE.name])
    assert [prompt.name for prompt in read_manifest(bundle).prompts] == ["summary", "helpful"]
    assert len([*(bundle / "prompts").iterdir()]) == 2
    assert not (bundle / HEAD).exists(), "nothing scores any more"
    with pytest.raises(BundleError, match=r"no prompt 'letters' in this bundle, there is: summary, helpful"):
        remove_prompts(bundle, ["summary", "letters"])
    with pytest.raises(BundleError, match="one prompt at least"):
        remove_prompts(bundle, ["summary", "helpful"])
    assert len(read_manifest(bundle).prompts) == 2


@pytest.mark.parametrize("name", ["gemma2", "llama", "phi"])
def test_scores_from_the_bundle_that_judges(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Of a model whose head is its embedding, of one with a head of its own, and of one whose head has a bias."""
    model = tiny_folder(name)
    both = export(model, tmp_path / "both", SUMMARY)
    add_prompts(both, find_source(str(model)), [SCORE], chat=False, progress=_quiet)
    samples = [Sample(pair.instruction, pair.response_0) for pair in PAIRS]
    ours = [rating.rating for rating in Rater.load(both).rate_many(samples)]
    alone = Rater.load(export(model, tmp_path / "scores", SCORE))
    assert ours == pytest.approx([rating.rating for rating in alone.rate_many(samples)], abs=1e-4)
    assert (both / HEAD).exists() and not Bundle(both).manifest.files[HEAD].bytes > 100_000


def test_what_is_added_to_int8_has_a_card_of_its_own(
    tiny_int8: Callable[[str], Path], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_int8("gemma2"), tmp_path / "int8"))
    source = find_source(str(tiny_folder("gemma2")))
    add_prompts(folder, source, [HELPFUL, SCORE], chat=False, progress=_quiet, max_delta=1.0)
    judge, exact = Judge.load(folder, template="helpful"), tiny_model("gemma2")
    prompt = judge.manifest.prompt
    for probe in prompt.probes:
        pair = Pair(probe.instruction, probe.response_0, probe.response_1)
        wanted = reference_log_odds(exact, judge.prompt_tokens(pair), prompt.label_ids) * [1, -1]
        assert np.abs(wanted - probe.reference).max() < 1e-3
        assert judge.answer(probe) == pytest.approx(probe.answer, abs=1e-5)
    errors = np.array([np.subtract(probe.answer, probe.reference) for probe in prompt.probes])
    assert abs((errors * [1, -1]).mean()) < 1e-5, "the shift is taken out"
    assert 0 < np.abs(errors).mean() <= prompt.fidelity.mean < 1.5 * np.abs(errors).mean()
    assert Rater.load(folder).manifest.prompt.fidelity.mean < 1
    remove_prompts(folder, [SCORE.name])
    before = sorted(folder.rglob("*"))
    with pytest.raises(FidelityError, match=r"through letters: int8 deviates .* nothing was kept"):
        add_prompts(folder, source, [LETTERS, SCORE], chat=False, progress=_quiet, max_delta=1e-9)
    assert sorted(folder.rglob("*")) == before


def test_another_model_is_refused(bundle: Path, tmp_path: Path) -> None:
    other = save_tiny("llama", tmp_path / "other")
    with pytest.raises(ExportError, match=r"does not answer as the model that .* was made of"):
        add_prompts(bundle, find_source(str(other)), [LETTERS], chat=False, progress=_quiet)
    assert "letters" not in (bundle / "manifest.json").read_text()


def test_a_damaged_prompt_is_refused(bundle: Path) -> None:
    path = bundle / read_manifest(bundle).through("helpful").prompt.path
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    Judge.load(bundle)
    with pytest.raises(BundleError, match=r"helpful-.*safetensors: changed since it was exported"):
        Judge.load(bundle, template="helpful")


def test_two_bundles_are_known_for_one_judge_through_every_prompt(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """First, beside the first, or added: an int8 and an fp32 bundle have a probe in common."""
    model = tiny_folder("llama")
    export(model, tmp_path / "m-fp32", SUMMARY, HELPFUL, HARMLESS)
    fast = export(model, tmp_path / "m-int8", HELPFUL, SUMMARY, int8=Int8Options(max_delta=1.0, fast=True))
    add_prompts(fast, find_source(str(model)), [HARMLESS], chat=False, progress=_quiet, max_delta=1.0)
    manifest = read_manifest(fast)
    for name in [prompt.name for prompt in manifest.prompts]:
        assert float32_of(fast, manifest.through(name)) is not None, name


def test_the_commands(tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Callable[..., Run]) -> None:
    model, folder = tiny_folder("gemma2"), tmp_path / "bundle"
    done = rlaif_fast(
        "export", model, "-o", folder, "--precision", "fp32", "--template", "helpful", "--template", "summary"
    )
    assert done.status == 0, done.err
    rows = ROOT / "examples/pairs.jsonl"
    for name in ("harmless", "shieldgemma"):
        missing = rlaif_fast("judge", rows, "-b", folder, "--template", name)
        assert missing.status == 1 and missing.err.endswith(
            f"no prompt '{name}' in this bundle, there is: helpful, summary;"
            f" to add it: rlaif-fast prompt add {folder} --template {name}\n"
        )
    added = rlaif_fast(
        "prompt", "add", folder, "--model", model, "--template", "harmless", "--template", "score-helpful"
    )
    assert added.status == 0 and added.out == f"{folder}\n", added.err
    listed = rlaif_fast("prompt", "list", folder, "--json")
    assert [one["name"] for one in json.loads(listed.out)] == ["helpful", "summary", "harmless", "score-helpful"]
    answers = {
        name: rlaif_fast("judge", rows, "-b", folder, "--template", name).out for name in ("helpful", "harmless")
    }
    assert answers["helpful"] == rlaif_fast("judge", rows, "-b", folder).out != answers["harmless"]
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"instruction": "A fox jumps.", "response": "The fox."}\n')
    assert rlaif_fast("score", samples, "-b", folder).status == 0
    many = tmp_path / "many.jsonl"
    many.write_text('{"instruction": "A fox jumps.", "responses": ["The fox.", "A dog.", "It jumps."]}\n')
    assert rlaif_fast("rank", many, "-b", folder, "--template", "harmless").status == 0
    removed = rlaif_fast("prompt", "remove", folder, "harmless")
    assert removed.err == "removed harmless\n"
    assert removed.status == 0 and rlaif_fast("judge", rows, "-b", folder, "--template", "harmless").status == 1
    removed = rlaif_fast("prompt", "remove", folder, "helpful", "score-helpful")
    assert removed.err == "removed helpful, score-helpful\njudge takes summary now, where --template names none\n"


def test_what_comes_along_where_it_can(tmp_path: Path) -> None:
    """A context of 480 tokens holds the short prompt with a pair; of the detailed one the head alone."""
    folder = save_tiny("llama", tmp_path / "model", max_position_embeddings=480)
    along, said = [template_of(BUILT_IN[name]) for name in ("helpful", "helpful-detailed")], list[str]()
    bundle = export(folder, tmp_path / "bundle", SUMMARY, along=along, say=said.append)
    there = [prompt.name for prompt in read_manifest(bundle).prompts]
    left_out = [template.name for template in along if template.name not in there]
    assert left_out == ["helpful-detailed"] and "left out: helpful-detailed; " in said[0], (there, said)
    with pytest.raises(ExportError, match="context of 480 tokens holds none"):
        export(folder, tmp_path / "needed", SUMMARY, along[1])
