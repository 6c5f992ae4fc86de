"""More prompts for a bundle: nothing of its graph or weights changes, and nothing is rounded.

A prompt needs the model once more, in float32: for the keys and values of its prefix, and for PyTorch's answers, which
the bundle is held against through it as it was through its first prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import DynamicCache

from rlaif_fast.bundle.editing import drop_unused_head, put_prompts
from rlaif_fast.bundle.folder import Bundle, entry, read_manifest
from rlaif_fast.bundle.manifest import HEAD, HEADS, Manifest
from rlaif_fast.bundle.prompt import BundlePrompt
from rlaif_fast.errors import BundleError, ExportError, FidelityError, TemplateError
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.selftest import FAITHFUL
from rlaif_fast_export.graph.prefix import bake_prefix, prefix_of
from rlaif_fast_export.prompts.fitted import FittedPrompt, Fitter
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.reference.oracle import Answers, Asked
from rlaif_fast_export.reference.pytorch import Asker, ScoreAsker, asker_of, common_ending, fitting
from rlaif_fast_export.reference.texts import LARGE, by_length, shipped_pairs
from rlaif_fast_export.reference.verify import TOLERANCE, error_bound, fidelity, require_faithful, require_ties
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.answers import Ask, in_one_session, in_segments, takes_segments
from rlaif_fast_export.writing.draft import draft_prompt
from rlaif_fast_export.writing.head import has_tied_head, softcap_of, write_head
from rlaif_fast_export.writing.prompt_file import PromptArrays, entry_of, write_prompt
from rlaif_fast_export.writing.verification import card_of, exact_card, probes_of

AnyTemplate = Template | ScoreTemplate
Progress = Callable[[str, float], None]
Say = Callable[[str], None]
# Probe pairs, the shortest, that other prompts than the first are verified on: at fp32 the graph is verified with the
# first one, and there are keys, values and label rows to prove. At int8 each has an error of its own:
# more pairs for what was asked for, fewer for what comes along, and for scores (docs/performance.md).
FEW_EXACT, FEW, _OF_NEEDED, _OF_SCORES = 1, 5, 7, 3
# A score's points for one of log-odds: with the ten scores as uncertain as they are, their mean moves by about as much.
POINTS = 3.0


def fit_all(
    fitter: Fitter, templates: Sequence[AnyTemplate], chat: bool, say: Say | None = None
) -> list[FittedPrompt]:  # fmt: skip
    """The templates fitted to the model; with ``say`` those that do not fit are left out, and it is told why.

    Args:
        chat: put templates for pairs into the model's chat template first.
    """
    found, reasons = list[FittedPrompt](), dict[str, list[str]]()
    for template in templates:
        try:
            found.append(fitter.fit(template, chat=chat and isinstance(template, Template)))
        except (ExportError, TemplateError) as error:
            if say is None:
                raise
            reasons.setdefault(str(error), []).append(template.name)
    for reason, names in reasons.items():  # of a model without a chat template it is one for all
        say(f"left out: {', '.join(names)}; {reason}")
    return found


@dataclass(frozen=True)
class AskedPrompt:
    """A prompt that is not in the bundle yet, with PyTorch's answers through it."""

    prompt: FittedPrompt
    asker: Asker | ScoreAsker
    arrays: PromptArrays
    pairs: Sequence[Pair]
    answers: Answers
    ending: int


def ask_those_that_fit(
    model: Blockwise, prompts: Sequence[FittedPrompt], needed: Sequence[str], *, int8: bool, progress: Progress,
    say: Callable[[str], None],
) -> list[AskedPrompt]:  # fmt: skip
    """Ask PyTorch through prompts beside a bundle's first; those that are not ``needed`` come along where they can.

    Of a large model each takes minutes; one for scores needs the head, which is in the bundle only where it is the
    embedding; and the context has to hold a pair.

    Args:
        needed: names.
        say: is told what is left out, and why.

    Raises:
        ExportError: the context holds no pair in one that is needed.
    """
    along = [one for one in prompts if one.template.name not in needed]
    scores = [one for one in along if isinstance(one.template, ScoreTemplate)]
    left_out = along if model.parameters >= LARGE else [] if has_tied_head(model.lm) else scores
    if left_out:
        names = ", ".join(one.template.name for one in left_out)
        say(f"left out: {names}; they would cost much with this model (rlaif-fast prompt add adds one)")
    shortest = by_length(shipped_pairs("probes", model.parameters))
    taken, pairs = [], []
    for one in prompts:
        if one in left_out:
            continue
        name = one.template.name
        few = FEW_EXACT if not int8 else _few(one, name in needed)
        try:
            pairs.append(fitting(_asker(one), shortest[:few]))
            taken.append(one)
        except ExportError as error:
            if name in needed:
                raise
            say(f"left out: {name}; {error}")
    return ask_through(model, taken, pairs, progress)


def _few(prompt: FittedPrompt, needed: bool) -> int:
    """Pairs that an int8 bundle is held against PyTorch on through the prompt."""
    if isinstance(prompt.template, ScoreTemplate):
        return _OF_SCORES
    return _OF_NEEDED if needed else FEW


def _asker(prompt: FittedPrompt) -> Asker | ScoreAsker:
    return asker_of(prompt.tokenizer, prompt.template, prompt.label_ids, prompt.longest)


def ask_through(
    model: Blockwise, prompts: Sequence[FittedPrompt], pairs: Sequence[Sequence[Pair]], progress: Progress
) -> list[AskedPrompt]:
    """Put ``pairs``, some a prompt that its context holds, to the model through it."""
    if not prompts:
        return []
    askers = [_asker(prompt) for prompt in prompts]
    caches = [DynamicCache() for _ in prompts]  # of each prompt's first text, which begins with the prefix
    parts = -(-torch.get_num_threads() // len(prompts))  # every thread has something to do
    asked = [
        Asked(model, asker, texts, kept=kept, parts=parts)
        for asker, texts, kept in zip(askers, pairs, caches, strict=True)
    ]
    model.through(
        [lead for one in asked for lead in one.leads],
        lambda done: progress("asking PyTorch through the other prompts", done),
    )
    found = []
    for prompt, cache, texts, one, asker in zip(prompts, caches, pairs, asked, askers, strict=True):
        shown = [ids for pair in texts for ids in asker.prompts(pair)]
        length = len(prompt.prefix_ids)
        began = list(shown[0][:length]) == prompt.prefix_ids  # a text may merge with the end of what is before it
        prefix = prefix_of(cache, length) if began else bake_prefix(model, prompt.prefix_ids)
        arrays = PromptArrays.of(model.lm, prompt.label_ids, prefix)
        found.append(AskedPrompt(prompt, asker, arrays, texts, one.answers(), common_ending(shown)))
    return found


def hold(
    manifest: Manifest, asked: AskedPrompt, ask: Ask, limit: float, tick: Callable[[float], None]
) -> tuple[BundlePrompt, bytes]:  # fmt: skip
    """Hold a bundle against PyTorch through a prompt that is not in it.

    Returns its part of the manifest, and its file's content.

    Args:
        ask: asks the bundle.
        limit: mean |error| in log-odds that an int8 bundle may have.
        tick: is called with the share that is done.

    Raises:
        FidelityError: the answers are too far from PyTorch's.
    """
    prompt, int8 = asked.prompt, manifest.precision == "int8"
    name, template = prompt.template.name, prompt.template
    arrays = replace(asked.arrays, ending=asked.ending if int8 else None)
    content = arrays.content(half=int8)
    drafted = draft_prompt(prompt, arrays.ending, entry_of(content))
    found = ask(drafted, drafted.arrays(content, name), asked.pairs, tick)
    model = f"{manifest.model.id} through {name}"
    if not int8:
        card = exact_card(template, found, asked.answers, model)
        return replace(drafted, fidelity=card, probes=probes_of(asked.pairs, asked.answers, found)), content
    if isinstance(template, ScoreTemplate):
        card = card_of(template, found, asked.answers)
        require_faithful(card, POINTS * limit, (), model, "points of score")
        return replace(drafted, fidelity=card, probes=probes_of(asked.pairs, asked.answers, found)), content
    odds, on = found[:, :2], f"{len(found)} probe pairs in both orders"
    shift, others = 0.0, np.zeros((1, 1))
    if not template.ties:  # of three labels nothing is taken out (docs/templates.md)
        shift, others = _shifts(odds - asked.answers)
        on += ", less the others' shift"
    held_out = odds - others * [1, -1]
    card = fidelity(held_out, asked.answers, on)
    require_faithful(card, limit, (), model)
    require_ties(found, asked.answers, limit, model)
    content = arrays.shifted(shift).content(half=True)
    probes = probes_of(asked.pairs, asked.answers, odds - np.array([shift, -shift]))
    bound = error_bound(held_out, asked.answers)
    return replace(drafted, fidelity=card, error_bound=bound, probes=probes, file=entry_of(content)), content


def _shifts(errors: Answers) -> tuple[float, Answers]:
    """The mean error of log(p1/p2), and for each pair that of the others [pairs, 1], from errors of response_0's.

    What is measured on a pair is not measured on what was fitted to it; of a single pair nothing is taken out.
    """
    of_pairs = (errors * [1, -1]).mean(1)
    shift, count = float(of_pairs.mean()), len(of_pairs)
    if count == 1:
        return shift, np.zeros((1, 1))
    return shift, ((shift * count - of_pairs) / (count - 1))[:, None]


def add_prompts(
    folder: Path, source: Source, templates: Sequence[AnyTemplate], *, chat: bool, progress: Progress,
    max_delta: float | None = None, force: bool = False, skip: Say | None = None,
) -> list[str]:  # fmt: skip
    """Add prompts to the finished bundle ``folder``, made of ``source``; all of them or none. Returns their names.

    Args:
        chat: put templates for pairs into the model's chat template first.
        max_delta: mean |error| in log-odds that an int8 bundle may have; by default FAITHFUL.
        force: replace prompts of the same names.
        skip: with it a prompt that cannot be added is left out, and it is told why.

    Raises:
        BundleError: a prompt of a name is there already.
        ExportError: ``source`` is not what the bundle was made of.
        FidelityError: not faithful to PyTorch.
        TemplateError: a template does not fit the tokenizer.
    """
    bundle = Bundle(folder)
    manifest = bundle.manifest
    progress(f"reading the configuration of {source.name}", 0)
    with refused(f"{source.name}: cannot be read", passing=OSError):
        fitter = Fitter(source)
        fitted = _new(fit_all(fitter, templates, chat, skip), bundle, force, skip)
        if not fitted:
            return []
        tokenizer = Tokenizer.from_str(fitted[0].tokenizer_json).to_str()
        if tokenizer != Tokenizer.from_buffer(bundle.tokenizer).to_str():
            raise ExportError(f"{source.name}: its tokenizer is not the one in {folder}; name the bundle's own --model")
        progress(f"loading {source.name}", 0)
        lm, mapped = source.stored_model()
        model = Blockwise(lm, mapped)
        _require_same_model(model, manifest, fitted[0], source.name, folder)
        asked = ask_through(model, *_with_probes(fitted, shipped_pairs("probes", model.parameters), skip), progress)
        if HEAD not in manifest.files and any(isinstance(one.prompt.template, ScoreTemplate) for one in asked):
            write_head(lm, folder, softcap_of(lm))
            put_prompts(folder, [], {name: entry(folder / name) for name in HEADS if (folder / name).exists()})
        del model, lm, mapped
        try:
            manifest = read_manifest(folder)
            ask = in_segments(folder, manifest) if takes_segments(folder, manifest) else in_one_session(folder)
            held = _held(manifest, asked, ask, max_delta or FAITHFUL, progress, skip)
            for prompt, content in held:
                write_prompt(folder, prompt, content)
            put_prompts(folder, [prompt for prompt, _ in held], {})
        finally:
            drop_unused_head(folder)
    return [prompt.name for prompt, _ in held]


def _new(prompts: Sequence[FittedPrompt], bundle: Bundle, force: bool, skip: Say | None) -> list[FittedPrompt]:
    """Those of a name that is not taken; raises BundleError for the others, or ``skip`` is told."""
    there = [] if force else [prompt.name for prompt in bundle.manifest.prompts]
    found: list[FittedPrompt] = []
    for prompt in prompts:
        name = prompt.template.name
        if name in [other.template.name for other in found]:
            raise BundleError(f"the prompt {name!r} is named twice")
        if name in there and skip is None:
            raise BundleError(f"{bundle.folder}: has a prompt {name!r} already; --force replaces it")
        if name in there and skip is not None:
            skip(f"left out: {name}; there is one already")
        else:
            found.append(prompt)
    return found


def _with_probes(
    prompts: Sequence[FittedPrompt], probes: Sequence[Pair], skip: Say | None
) -> tuple[list[FittedPrompt], list[Sequence[Pair]]]:
    """The prompts whose context holds a probe, and the probes each holds.

    Raises ExportError for the others, or ``skip`` is told.
    """
    taken, held = list[FittedPrompt](), list[Sequence[Pair]]()
    for prompt in prompts:
        try:
            held.append(fitting(_asker(prompt), probes))
            taken.append(prompt)
        except ExportError as error:
            if skip is None:
                raise
            skip(f"left out: {prompt.template.name}; {error}")
    return taken, held


def put_all(
    folder: Path, asked: Sequence[AskedPrompt], ask: Ask, limit: float, needed: Sequence[str], progress: Progress,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Put prompts into a bundle that is being made; one that it is not faithful through is left out, unless needed.

    Raises FidelityError for one of ``needed``, by name.
    """
    held = _held(read_manifest(folder), asked, ask, limit, progress, say, needed)
    for prompt, content in held:
        write_prompt(folder, prompt, content)
    put_prompts(folder, [prompt for prompt, _ in held], {})
    drop_unused_head(folder)


def _held(
    manifest: Manifest, asked: Sequence[AskedPrompt], ask: Ask, limit: float, progress: Progress, skip: Say | None,
    needed: Sequence[str] = (),
) -> list[tuple[BundlePrompt, bytes]]:  # fmt: skip
    """What :func:`hold` gives for each; raises FidelityError, but where ``skip`` is told of one not ``needed``."""
    made = []
    for number, one in enumerate(asked):
        try:
            made.append(hold(manifest, one, ask, limit, _ticking(progress, number, asked)))
        except FidelityError as error:
            if skip is None or one.prompt.template.name in needed:
                raise
            skip(f"left out: {one.prompt.template.name}; {error.reason}")
    return made


def _ticking(progress: Progress, number: int, asked: Sequence[AskedPrompt]) -> Callable[[float], None]:
    """Tells the progress of the prompt of that number."""
    return lambda done: progress("verifying through the other prompts", (number + done) / len(asked))


def _require_same_model(model: Blockwise, manifest: Manifest, fitted: FittedPrompt, name: str, folder: Path) -> None:
    """Raise ExportError where the model does not answer the bundle's shortest probe as the manifest says it did."""
    prompt = manifest.prompt
    probe = by_length(prompt.probes)[0]
    asker = asker_of(fitted.tokenizer, prompt.template, prompt.label_ids, fitted.longest)
    asked = Asked(model, asker, [Pair(probe.instruction, probe.response_0, probe.response_1)])
    model.through(asked.leads, lambda _: None)
    if not np.abs(asked.answers()[0, :2] - probe.reference).max() <= TOLERANCE:
        raise ExportError(
            f"{name}: does not answer as the model that {folder} was made of; name that one with --model, --revision"
        )
