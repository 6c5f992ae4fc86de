"""A bundle on disk, as far as it is before it is verified: asked, traced, rounded, written."""

from __future__ import annotations

import gc
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx_ir as ir
from tokenizers import Tokenizer

from rlaif_fast.bundle.folder import entry, write_manifest
from rlaif_fast.bundle.manifest import FILES, HEADS, TOKENIZER, WEIGHTS, Manifest
from rlaif_fast.bundle.prompt import PROMPTS, BundlePrompt
from rlaif_fast.errors import ExportError
from rlaif_fast.prompts.score_template import ScoreTemplate
from rlaif_fast_export.graph.forms import UnsupportedModule
from rlaif_fast_export.graph.head_form import head_form
from rlaif_fast_export.graph.prefix import bake_prefix
from rlaif_fast_export.graph.trace import TreeDecoder, trace
from rlaif_fast_export.graph.weights import Weights
from rlaif_fast_export.int8.options import Int8Options
from rlaif_fast_export.int8.quantize import Int8
from rlaif_fast_export.other_prompts import AskedPrompt, ask_those_that_fit
from rlaif_fast_export.passes import pipeline as passes
from rlaif_fast_export.prompts.fitted import FittedPrompt
from rlaif_fast_export.reference.blockwise import Blockwise
from rlaif_fast_export.reference.oracle import Oracle
from rlaif_fast_export.reference.pytorch import AnyAsker, asker_of
from rlaif_fast_export.sources.source import Source
from rlaif_fast_export.writing.draft import draft, draft_prompt
from rlaif_fast_export.writing.graph_file import write_graph
from rlaif_fast_export.writing.head import write_head
from rlaif_fast_export.writing.prompt_file import PromptArrays, entry_of, write_prompt

Progress = Callable[[str, float], None]  # (what is being done, share of it done in [0, 1])
Choose = Callable[[Weights, ir.Model], Int8]  # the form of each int8 product of a graph


class Build(ABC):
    """From a source to a bundle on disk that is not verified yet.

    Attributes:
        int8: None for fp32.
        manifest: the bundle's, but for what the verification finds.
        arrays: what the graph is fed for the first prompt.
        oracle: PyTorch's answers, through it.
        asked: the other prompts.
        worst: int8 groups by the error they are expected to add, the largest first.
        moved: mean |difference| in log-odds that another processor's last bits make of an int8 bundle's answers.
    """

    int8: Int8Options | None = None
    manifest: Manifest
    arrays: PromptArrays
    oracle: Oracle
    asked: Sequence[AskedPrompt]
    worst: Sequence[str] = ()
    moved: float = 0.0

    def __init__(
        self, source: Source, prompt: FittedPrompt, others: Sequence[FittedPrompt], needed: Sequence[str],
        folder: Path, progress: Progress, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._source, self._prompt, self._others, self._needed = source, prompt, others, needed
        self._folder = folder
        self._progress, self._say = progress, say

    def run(self) -> None:
        """Raises ExportError."""
        prompt = self._prompt
        asker = asker_of(prompt.tokenizer, prompt.template, prompt.label_ids, prompt.longest)
        Tokenizer.from_str(prompt.tokenizer_json).save(str(self._folder / TOKENIZER))
        self._progress(f"loading {self._source.name}", 0)
        lm, self._mapped = self._source.stored_model()
        self._model = Blockwise(lm, self._mapped)
        self._decoder = TreeDecoder(lm).eval()
        with self._known_modules():
            self._form = head_form(lm)
        self._prefix = bake_prefix(self._model, prompt.prefix_ids)
        self.arrays = PromptArrays.of(lm, self._form, prompt.label_ids, self._prefix)
        self.asked = ask_those_that_fit(
            self._model, self._others, self._needed, int8=self.int8 is not None, progress=self._progress, say=self._say
        )  # fmt: skip
        self._ask_and_make(asker)
        if any(isinstance(one.template, ScoreTemplate) for one in (prompt, *(one.prompt for one in self.asked))):
            write_head(lm, self._folder, self._form)

    @abstractmethod
    def _ask_and_make(self, asker: AnyAsker) -> None:
        """Find ``oracle``, and write graph, weights and the first prompt."""

    def let_go(self) -> None:
        """Of all that the verification does not need: the model above all."""
        del self._model, self._decoder, self._prefix, self._mapped
        gc.collect()

    def _make(self, choose: Choose | None = None, more: Callable[[], dict[str, int]] = dict) -> None:
        """Write graph, weights and a draft of the manifest.

        Args:
            choose: chooses the form of int8 products; None for float32 ones.
            more: counts for the manifest, beside the passes' own, once the graph is written.
        """
        self._progress("tracing", 0)
        weights, config = Weights(self._decoder), self._model.lm.config
        longest = self._prompt.longest
        with self._known_modules():
            with tempfile.TemporaryDirectory(dir=self._folder) as scratch_folder:
                graph = trace(self._decoder, Path(scratch_folder))
            counts = passes.run(
                graph, weights, self._prefix, longest, config.hidden_size,
                None if choose is None else partial(choose, weights), self._form.softcap,
            )  # fmt: skip

        def writing(done: float) -> None:
            self._mapped.let_go()
            self._progress("writing the weights", done)

        write_graph(graph, self._folder, writing)
        self.manifest = draft(
            graph, counts | more(), self._source, self._write_prompt(), longest,
            precision="fp32" if self.int8 is None else "int8", parameters=self._model.parameters,
        )  # fmt: skip

    @contextmanager
    def _known_modules(self) -> Iterator[None]:
        """Within: a module that the exporter has no operator for is an ExportError."""
        try:
            yield
        except (passes.PassError, UnsupportedModule) as error:
            advice = "please report the model"
            if not self._source.listed:
                kind = self._model.lm.config.model_type
                advice = f"so a {kind} model, which is of no listed family, cannot be exported"
            raise ExportError(f"{self._source.name}: {error}; {advice}") from error

    def _write_prompt(self) -> BundlePrompt:
        """The first prompt's file; its part of the manifest, as far as it is known."""
        shutil.rmtree(self._folder / PROMPTS, ignore_errors=True)
        content = self.arrays.content(half=self.int8 is not None)
        drafted = draft_prompt(self._prompt, self.arrays.ending, entry_of(content), self.oracle.bfloat16)
        write_prompt(self._folder, drafted, content)
        return drafted

    def list_files(self) -> None:
        """Have the manifest name the files as they are, and write it."""
        known = {WEIGHTS: self.manifest.files[WEIGHTS]} if WEIGHTS in self.manifest.files else {}  # written once
        there = [name for name in (*FILES, *HEADS) if (self._folder / name).exists()]
        files = {name: known.get(name) or entry(self._folder / name) for name in there}
        self.manifest = replace(self.manifest, files=files)
        write_manifest(self._folder, self.manifest)
