"""Fuzz a reader: ``python -m tests.fuzz manifest|row|template|checkpoint|tokenizer CORPUS -max_total_time=600``.

The options behind the corpus are libFuzzer's.
"""

from __future__ import annotations

import importlib
import sys

import atheris

with atheris.instrument_imports(include=["rlaif_fast"]):
    target = importlib.import_module(f"tests.fuzz.{sys.argv.pop(1)}")

atheris.Setup(sys.argv, target.check)
atheris.Fuzz()
