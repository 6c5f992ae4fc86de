"""More prompts for a finished bundle, all of them or none. Nothing of its graph or weights changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from rlaif_fast.bundle.editing import drop_unused_head, put_prompts, require_own
from rlaif_fast.bundle.folder import Bundle, entry, read_manifest
from rlaif_fast.bundle.manifest import HEAD, HEADS, Manifest
from rlaif_fast.errors import BundleError, ExportError
from rlaif_fast.files.targets import named
from rlaif_fast.prompts.kinds import Askable
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.runtime.selftest import FAITHFUL
from rlaif_fast_export.graph.head_form import head_form
from rlaif_fast_export.other_prompts import Progress, Say, ask_through, asker_for, fit_all, held_all, put_held
from rlaif_fast_export.prompts.fitted import FittedPrompt, Fitter
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.reference.oracle import Asked
from rlaif_fast_export.reference.pytorch import asker_of, fitting
from rlaif_fast_export.reference.texts import by_length, shipped_pairs
from rlaif_fast_export.reference.verify import TOLERANCE
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.answers import in_one_session, in_segments, takes_segments
from rlaif_fast_export.writing.head import write_head


def add_prompts(
    folder: Path, source: Source, templates: Sequence[Askable], *, chat: bool, progress: Progress,
    max_delta: float | None = None, force: bool = False, skip: Say | None = None,
) -> list[str]:  # fmt: skip
    """Add prompts to the finished bundle ``folder``, made of ``source``; all of them or none. Returns their names.

    Args:
        chat: put templates for pairs into the model's chat template first.
        max_delta: mean |error| in log-odds that an int8 bundle may have; by default FAITHFUL.
        force: replace prompts of the same names.
        skip: with it a prompt that cannot be added is left out, and it is told why.

    Raises:
        BundleError: a prompt of a name is there already, or the bundle was downloaded.
        ExportError: ``source`` is not what the bundle was made of.
        FidelityError: not faithful to PyTorch.
        TemplateError: a template does not fit the tokenizer.
    """
    require_own(folder)
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
        try:
            if HEAD not in manifest.files and any(isinstance(one.prompt.template, ScoreTemplate) for one in asked):
                with named(folder / HEAD, "make room"):
                    write_head(lm, folder, head_form(lm))
                put_prompts(folder, [], {name: entry(folder / name) for name in HEADS if (folder / name).exists()})
            del model, lm, mapped
            manifest = read_manifest(folder)
            ask = in_segments(folder, manifest) if takes_segments(folder, manifest) else in_one_session(folder)
            held = held_all(manifest, asked, ask, max_delta or FAITHFUL, progress, skip)
            put_held(folder, held)
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
            held.append(fitting(asker_for(prompt), probes))
            taken.append(prompt)
        except ExportError as error:
            if skip is None:
                raise
            skip(f"left out: {prompt.template.name}; {error}")
    return taken, held


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
