"""Prompts beside a bundle's first: asked of PyTorch, and held against it through the bundle. Nothing is rounded.

A prompt needs the model once more, in float32: for the keys and values of its prefix, and for PyTorch's answers, which
the bundle is held against through it as it was through its first prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rlaif_fast.bundle.editing import drop_unused_head, put_prompts
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.manifest import Manifest
from rlaif_fast.bundle.prompt import BundlePrompt
from rlaif_fast.errors import ExportError, FidelityError, TemplateError
from rlaif_fast.prompts.kinds import Askable
from rlaif_fast.prompts.reward_template import RewardTemplate
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.prompts.template import Template
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.wording import counted
from rlaif_fast_export.graph.head_form import head_form
from rlaif_fast_export.graph.prefix import bake_prefix, prefix_of
from rlaif_fast_export.prompts.fitted import FittedPrompt, Fitter
from rlaif_fast_export.reference.blockwise import Blockwise, Cache
from rlaif_fast_export.reference.oracle import Answers, Asked, answers_of
from rlaif_fast_export.reference.pytorch import AnyAsker, asker_of, common_ending, fitting
from rlaif_fast_export.reference.texts import LARGE, by_length, shipped_pairs
from rlaif_fast_export.reference.verify import error_bound, fidelity, in_orders, odds_of, require_faithful, require_ties
from rlaif_fast_export.writing.answers import Ask
from rlaif_fast_export.writing.draft import draft_prompt
from rlaif_fast_export.writing.head import has_tied_head
from rlaif_fast_export.writing.prompt_file import PromptArrays, entry_of, write_prompt
from rlaif_fast_export.writing.verification import card_of, exact_card, probes_of

Progress = Callable[[str, float], None]
Say = Callable[[str], None]
# Probe pairs, the shortest, that other prompts than the first are verified on: at fp32 the graph is verified with the
# first one, and there are keys, values and label rows to prove. At int8 each has an error of its own:
# more pairs for what was asked for, fewer for what comes along, and for scores (docs/performance.md).
# By the pair that both have, --exact knows an int8 and an fp32 bundle for the same judge.
FEW_EXACT, FEW, _OF_NEEDED, _OF_SCORES = 1, 5, 7, 3
# A score's points for one of log-odds: with the ten scores as uncertain as they are, their mean moves by about as much.
POINTS = 3.0


def fit_all(
    fitter: Fitter, templates: Sequence[Askable], chat: bool, say: Say | None = None
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
    asker: AnyAsker
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
    if not prompts:
        return []
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
            pairs.append(fitting(asker_for(one), shortest[:few]))
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


def asker_for(prompt: FittedPrompt) -> AnyAsker:
    return asker_of(prompt.tokenizer, prompt.template, prompt.label_ids, prompt.longest)


def ask_through(
    model: Blockwise, prompts: Sequence[FittedPrompt], pairs: Sequence[Sequence[Pair]], progress: Progress
) -> list[AskedPrompt]:
    """Put ``pairs``, some a prompt that its context holds, to the model through it."""
    if not prompts:
        return []
    askers = [asker_for(prompt) for prompt in prompts]
    caches = [Cache() for _ in prompts]  # of each prompt's first text, which begins with the prefix
    parts = -(-torch.get_num_threads() // len(prompts))  # every thread has something to do
    asked = [
        Asked(model, asker, texts, kept=kept, parts=parts)
        for asker, texts, kept in zip(askers, pairs, caches, strict=True)
    ]
    model.through(
        [lead for one in asked for lead in one.leads],
        lambda done: progress("asking PyTorch through the other prompts", done),
    )
    found, form = [], head_form(model.lm)
    of_all = answers_of(model, asked)
    for prompt, cache, texts, answers, asker in zip(prompts, caches, pairs, of_all, askers, strict=True):
        shown = [ids for pair in texts for ids in asker.prompts(pair)]
        length = len(prompt.prefix_ids)
        began = list(shown[0][:length]) == prompt.prefix_ids  # a text may merge with the end of what is before it
        prefix = prefix_of(cache, length) if began else bake_prefix(model, prompt.prefix_ids)
        arrays = PromptArrays.of(model.lm, form, prompt.label_ids, prefix)
        found.append(AskedPrompt(prompt, asker, arrays, texts, answers, common_ending(shown)))
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
    odds, on = found[:, :2], f"{counted(len(found), 'probe pair')}{in_orders(template)}"
    # A shift of log(p1/p2) is one of response_0's in the first order, and against it in the second; rewards have one.
    signs = np.array([1, 1] if isinstance(template, RewardTemplate) else [1, -1])
    shift, others = 0.0, np.zeros((1, 1))
    if not (
        isinstance(template, Template) and template.ties
    ):  # of three labels nothing is taken out (docs/templates.md)
        shift, others = _shifts((odds - asked.answers) * signs)
        on += ", less the others' shift"
    held_out, wanted = odds_of(template, odds - others * signs), odds_of(template, asked.answers)
    card = fidelity(held_out, wanted, on)
    require_faithful(card, limit, (), model)
    require_ties(found, asked.answers, limit, model)
    content = arrays.shifted(shift).content(half=True)
    probes = probes_of(asked.pairs, asked.answers, odds - shift * signs)
    bound = error_bound(held_out, wanted)
    return replace(drafted, fidelity=card, error_bound=bound, probes=probes, file=entry_of(content)), content


def _shifts(errors: Answers) -> tuple[float, Answers]:
    """The mean of ``errors`` [pairs, 2], and for each pair that of the others [pairs, 1].

    What is measured on a pair is not measured on what was fitted to it; of a single pair nothing is taken out.
    """
    of_pairs = errors.mean(1)
    shift, count = float(of_pairs.mean()), len(of_pairs)
    if count == 1:
        return shift, np.zeros((1, 1))
    return shift, ((shift * count - of_pairs) / (count - 1))[:, None]


def put_all(
    folder: Path, asked: Sequence[AskedPrompt], ask: Ask, limit: float, needed: Sequence[str], progress: Progress,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Put prompts into a bundle that is being made; one that it is not faithful through is left out, unless needed.

    Raises FidelityError for one of ``needed``, by name.
    """
    put_held(folder, held_all(read_manifest(folder), asked, ask, limit, progress, say, needed))
    drop_unused_head(folder)


def put_held(folder: Path, held: Sequence[tuple[BundlePrompt, bytes]]) -> None:
    """Put what :func:`held_all` gives into a bundle; nothing is left of it where that fails."""
    try:
        for prompt, content in held:
            write_prompt(folder, prompt, content)
        put_prompts(folder, [prompt for prompt, _ in held], {})
    except BaseException:
        listed = {prompt.path for prompt in read_manifest(folder).prompts}
        for prompt, _ in held:
            if prompt.path not in listed:
                (folder / prompt.path).unlink(missing_ok=True)
        raise


def held_all(
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
