"""Fuzz the reader of templates: ``python tests/fuzz/template.py tests/corpus/template -max_total_time=600``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rlaif_fast.built_in import template_of
from rlaif_fast.errors import PairError, TemplateError
from rlaif_fast.template_file import read_template

_FOLDER = tempfile.TemporaryDirectory()


def check(data: bytes) -> None:
    """``data`` is a file: refused in one line, or a template whose texts stand in its prompts as they are."""
    path = Path(_FOLDER.name) / "judge.toml"
    path.write_bytes(data)
    try:
        template = template_of(read_template(str(path)).wording)
    except (TemplateError, PairError) as error:
        assert str(error).startswith((str(path), "template ")), str(error)
        return
    prompt = template.render("{first}", "{token:x}", "{instruction}")
    assert all(text in prompt for text in ("{first}", "{token:x}", "{instruction}"))
    assert prompt.startswith(template.head)


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
