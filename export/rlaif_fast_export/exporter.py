"""The export, from MODEL to a bundle: load, ask the reference, trace, pass, write, verify, publish."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlaif_fast.bundle.editing import require_free
from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.kinds import Askable
from rlaif_fast.runtime.selftest import FAITHFUL
from rlaif_fast_export.builds.base import Progress
from rlaif_fast_export.builds.float32 import Float32Build
from rlaif_fast_export.builds.int8 import WORK, Int8Build
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.work import was_left
from rlaif_fast_export.other_prompts import fit_all, put_all
from rlaif_fast_export.prompts.fitted import FittedPrompt, Fitter
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.draft import tools
from rlaif_fast_export.writing.publication import left_behind, publish, scratch
from rlaif_fast_export.writing.verification import verify

_REPORT = "; please report the model, with what --debug shows"
_FORM = 4  # of what lies in the folder: another number where a version keeps something else, or other rows of it


def export_bundle(
    source: Source, output: Path, template: Askable | None, *, force: bool, progress: Progress,
    more: Sequence[Askable] = (), along: Sequence[Askable] = (), int8: Int8Options | None = None,
    chat: bool = False, say: Callable[[str], None] = lambda _: None,
) -> Path:  # fmt: skip
    """Export ``source`` at fp32, or with ``int8`` products, into the folder ``output``.

    Args:
        template: of the first prompt, for which int8 is fitted; one for pairs or a safety model's, or at fp32 one for
            scores. None for a reward model, which reads conversations through its own chat template.
        more: templates of further prompts.
        along: of some that come along where they can: the bundle is faithful through them, and they cost little.
        chat: put templates for pairs into the model's own chat template first.
        say: is told what did not come along, and why.

    The bundle appears at ``output`` whole and verified, or not at all. Of a model in safetensors files one block is
    held in float32 at a time; an int8 export that was killed is taken up behind its last finished block.

    Raises:
        FidelityError: not faithful to PyTorch.
        ExportError: unsupported, or not loadable.
        TemplateError: the template does not fit the tokenizer.
    """
    require_free(output, force)
    progress(f"reading the configuration of {source.name}", 0)
    with refused(f"{source.name}: its configuration cannot be used"):
        source.config()  # what cannot be exported is said before anything else
    if source.is_reward_model and not source.listed:
        raise ExportError(f"{source.name}: a reward model of a family that is not listed, which is not verified")
    if int8 is not None and not source.listed:
        raise ExportError(
            f"{source.name}: a family that is not listed is exported at fp32 alone; give --precision fp32"
        )
    with refused(f"{source.name}: cannot be exported", _REPORT, passing=OSError):  # a full disk says so itself
        (prompt, *others), needed = _fitted(source, template, more, along, chat, say)
        state = source.state()
        key = _key(state, [prompt, *others], int8)

        def work_of(left: Path) -> Path | None:
            return left / WORK if int8 is not None and was_left(left / WORK, key) else None

        with scratch(output, work_of) as folder:
            given = source, prompt, others, needed, folder, progress, say
            build = Float32Build(*given) if int8 is None else Int8Build(*given, int8, key)
            build.run()
            build.let_go()
            ask = verify(folder, build, progress)
            limit = FAITHFUL if int8 is None else int8.max_delta
            put_all(folder, build.asked, ask, limit, needed, progress, say)
            del ask
            if source.state() != state:
                raise ExportError(f"{source.name}: its files changed while it was exported; export it again")
            shutil.rmtree(folder / WORK, ignore_errors=True)
            publish(folder, output, force=force)
    return output


def is_begun(
    source: Source, output: Path, template: Askable | None, *, int8: Int8Options, more: Sequence[Askable] = (),
    along: Sequence[Askable] = (), chat: bool = False,
) -> bool:  # fmt: skip
    """Whether :func:`export_bundle` with the same arguments was killed, and would be taken up."""
    left = left_behind(output)
    if not left:
        return False
    with refused(f"{source.name}: cannot be exported", _REPORT, passing=OSError):
        prompts, _ = _fitted(source, template, more, along, chat, lambda _: None)
        key = _key(source.state(), prompts, int8)
    return any(was_left(folder / WORK, key) for folder in left)


def _fitted(
    source: Source, template: Askable | None, more: Sequence[Askable], along: Sequence[Askable], chat: bool,
    say: Callable[[str], None],
) -> tuple[list[FittedPrompt], list[str]]:  # fmt: skip
    """The prompts, and which of them have to be in the bundle beside the first, by name."""
    fitter = Fitter(source)
    named = [*([] if template is None else [template]), *more]
    found = fit_all(fitter, named, chat) if named else [fitter.reward()]
    needed = [one.template.name for one in found[1:]]
    return found + fit_all(fitter, along, chat, say), needed


def _key(files: list[Any], prompts: Sequence[FittedPrompt], int8: Int8Options | None) -> str:
    """What tells an export from others: one that was killed is gone on with where all of it is the same."""
    own = int8.calibration if int8 is not None else None
    texts = None if own is None else [[p.instruction, p.response_0, p.response_1] for p in own]
    fast = None if int8 is None else int8.fast
    asked = [[repr(prompt.template), prompt.prefix_ids, prompt.label_ids] for prompt in prompts]
    state = [_FORM, files, asked, texts, fast, tools()]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()
