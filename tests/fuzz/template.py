"""The reader of templates, to be fuzzed (see ``__main__``)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rlaif_fast.errors import PairError, TemplateError
from rlaif_fast.prompts.built_in import template_of
from rlaif_fast.prompts.template import Template
from rlaif_fast.prompts.template_file import read_template

_FOLDER = tempfile.TemporaryDirectory()


def check(data: bytes) -> None:
    """``data`` is a file: refused in one line, or a template whose texts stand in its prompts as they are."""
    path = Path(_FOLDER.name) / "judge.toml"
    path.write_bytes(data)
    try:
        template = template_of(read_template(str(path)).wording)
    except (TemplateError, PairError) as error:
        reason = str(error)
    else:
        _check_prompt(template)
        return
    assert reason.startswith((str(path), "template ")), reason


def _check_prompt(template: Template) -> None:
    prompt = template.render("{first}", "{token:x}", "{instruction}")
    assert all(text in prompt for text in ("{first}", "{token:x}", "{instruction}"))
    assert prompt.startswith(template.head)
