"""What is said of a bundle's name that leads nowhere: the one that was meant, or how to make it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from rlaif_fast.bundle.home import BUNDLES, DEFAULT_MODEL, PRECISIONS, home, model_name
from rlaif_fast.errors import BundleError
from rlaif_fast.prompts.built_in import BUILT_IN
from rlaif_fast.prompts.guards import GUARDS
from rlaif_fast.prompts.judge_models import JUDGE_MODELS
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.wording import near

_PRECISION = re.compile(rf"-({'|'.join(PRECISIONS)})$", re.IGNORECASE)
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def no_such_bundle(path: Path) -> str:
    """One line on a path that is no folder: what is at hand under a similar name, or how to make the bundle."""
    name = str(path)
    if path.is_file():
        return f"{name}: a file, and a bundle is a folder; `rlaif-fast list` shows the bundles at hand"
    if (model := _model_of(name)) is not None:
        return f"{name}: {not_exported(name, model)}"
    meant = nearest(name, (one for one in at_hand() if one != name))
    is_id = name == DEFAULT_MODEL or (_HUB_ID.fullmatch(name) and not path.parent.is_dir())
    if is_id and (meant is None or _plain(meant) != _plain(name)):  # models of one family have names alike
        hint = f" (or did you mean {meant}?)" if meant else ""
        return f"{name}: not exported yet; `rlaif-fast export {name}` makes the bundle{hint}"
    if meant:
        return f"{name}: no such bundle; did you mean {meant}? (`rlaif-fast list` shows what there is)"
    return f"{name}: no such folder; give a bundle, `rlaif-fast export MODEL` makes one"


def not_exported(name: str, model: str | None = None) -> str:
    """How a bundle called ``name`` is made of its model, and the one at hand that differs in its precision alone.

    Args:
        model: the model's id; None: the name itself, without a precision at its end.
    """
    asked = _PRECISION.search(name)
    precision = f" --precision {asked[1].lower()}" if asked else ""
    other = next((one for one in at_hand() if _PRECISION.search(one) and _bare(one) == _bare(name)), None)
    hint = f" (or did you mean {other}?)" if other else ""
    return (
        f"not exported yet; `rlaif-fast export {model or _PRECISION.sub('', name)}{precision}` makes the bundle{hint}"
    )


def _model_of(name: str) -> str | None:
    """The id of a model at hand of which ``name`` would be a bundle of a precision that is not there."""
    there = at_hand()
    if not _PRECISION.search(name) or any(_plain(one) == _plain(name) for one in there):
        return None
    return next((one for one in there if not _PRECISION.search(one) and _bare(one) == _bare(name)), None)


def no_prompt_called(name: str, there: Sequence[str]) -> str:
    """What is said of a prompt's name that a bundle does not have, and is not wanted in it either.

    ``there``: the names it has.
    """
    has = f"no prompt {name!r} in this bundle, there is: {', '.join(there)}"
    return f"{has}; did you mean {meant}?" if (meant := near(name, there)) else has


def no_such_prompt(name: str, there: Sequence[str], bundle: str) -> str:
    """What is said of the name of a prompt that is needed: how it is added, or the one that was meant.

    Args:
        there: the names the bundle has.
        bundle: what the command takes for it.
    """
    has = f"no prompt {name!r} in this bundle, there is: {', '.join(there)}"
    template = name.removesuffix("-chat")
    if template in {**BUILT_IN, **SCORE_TEMPLATES, **JUDGE_MODELS, **GUARDS}:
        chat = " --chat yes" if template != name else ""
        return f"{has}; to add it: rlaif-fast prompt add {quote(bundle)} --template {template}{chat}"
    if near(name, there):
        return no_prompt_called(name, there)
    return f"{has}; to add one of your own: rlaif-fast prompt add {quote(bundle)} --template FILE.toml"


def of_another_kind(name: str, fitting: Sequence[str], for_scores: bool) -> str:
    """What is said of a bundle's prompt that is for pairs where one for scores is needed, or the other way round.

    Args:
        fitting: the names of those that could be used.
    """
    what, other, command = ("scores", "pairs", "judge") if for_scores else ("pairs", "scores", "score")
    there = f"there is: {', '.join(fitting)}" if fitting else "there is none in this bundle"
    return f"the prompt {name!r} is for {other} (rlaif-fast {command}), this needs one for {what}, {there}"


def none_of_kind(there: Sequence[str], for_scores: bool, bundle: str) -> str:
    """What is said of a bundle whose prompts are all for pairs, or all for scores, where one for the other is needed.

    Args: those of :func:`no_such_prompt`.
    """
    what, example = ("scores", "score-summary") if for_scores else ("pairs", "summary")
    return (
        f"no prompt for {what} in this bundle, there is: {', '.join(there)}; to add one: rlaif-fast prompt add"
        f" {quote(bundle)} --template {example}"
    )


def require_no_slip(name: str) -> None:
    """Raise BundleError where only case or dashes tell ``name`` from one that is at hand: the hub need not be asked."""
    meant = nearest(name, (one for one in at_hand() if one != name))
    if meant is not None and _plain(meant) == _plain(name):
        raise BundleError(f"{name}: no such bundle; did you mean {meant}? (`rlaif-fast list` shows what there is)")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``name`` is likely meant for, whatever its case and dashes; None for none."""
    plain = {_plain(one): one for one in sorted(names)}
    found = near(_plain(name), plain)
    return plain[found] if found else None


def at_hand() -> list[str]:
    """The embedded default, ids of the models exported into the cache folder, and names of the bundles there."""
    found = {DEFAULT_MODEL: None}
    folders = home() / BUNDLES
    for folder in sorted(folders.iterdir()) if folders.is_dir() else []:
        if (model := _model_in(folder)) is not None:
            found[folder.name] = found[model] = None
    return list(found)


def is_of(folder: Path, name: str) -> bool:
    """Whether the bundle in ``folder`` is what ``name`` means, by the folder's name or by its model's.

    ``a/b-c``, ``a-b/c`` and ``a b-c`` are spelled alike there.
    """
    model = _model_in(folder)
    return folder.name.startswith(name) or model in (None, model_name(name))


def _model_in(folder: Path) -> str | None:
    """The id of the model that a bundle is of; None for a leftover, or a damaged one: whoever opens it says so."""
    try:
        return str(json.loads((folder / "manifest.json").read_bytes())["model"]["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9/]+", "", name.lower())


def _bare(name: str) -> str:
    """A model's name as its bundles' folders have it, without the precision, whatever its case and dashes."""
    return _plain(_PRECISION.sub("", name).replace("/", ""))
