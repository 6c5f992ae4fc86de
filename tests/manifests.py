"""Manifests changed in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rlaif_fast.bundle.manifest import Manifest


def with_prompt(manifest: Manifest, **changes: Any) -> Manifest:
    """``manifest`` with its prompt changed."""
    prompts = list(manifest.prompts)
    prompts[manifest.chosen] = replace(manifest.prompt, **changes)
    return replace(manifest, prompts=tuple(prompts))
