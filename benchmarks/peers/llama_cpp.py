"""llama.cpp through llama-cpp-python: the GGUF as it is, and widened to f32."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.base import Setup, TwoPasses, Unavailable, common_prefix, missing, once


class LlamaCpp(TwoPasses):
    """Evaluates a prompt's tokens, keeps the cache, and reuses what the next prompt shares with the last.

    That is what its server does unasked (``cache_prompt``). Flash attention and one batch for the whole prompt.
    """

    name = "llamacpp-gguf"
    what = "llama.cpp, the GGUF as it is (weights as stored, int8 activations), shared beginnings kept"

    def available(self) -> str | None:
        return missing("llama_cpp")

    def prepare(self, setup: Setup) -> None:
        if setup.gguf is None:
            raise Unavailable("there is no GGUF file of this model")

    def load(self, setup: Setup) -> None:
        from llama_cpp import Llama

        context = setup.longest + 1
        self._llama = Llama(
            str(self._gguf(setup)), n_ctx=context, n_batch=context, n_ubatch=context, n_threads=setup.threads,
            n_threads_batch=setup.threads, flash_attn=True, verbose=False,
        )  # fmt: skip
        self._held: list[int] = []
        self._labels = setup.label_ids

    def label_logits(self, ids: list[int]) -> tuple[float, float]:
        from llama_cpp import llama_get_logits_ith

        kept = common_prefix(self._held, ids)
        self._llama.n_tokens = kept  # eval drops from the cache what lies behind
        self._llama.eval(ids[kept:])
        self._held = ids
        logits = llama_get_logits_ith(self._llama.ctx, -1)  # [V], of the last position
        first, second = (float(logits[label]) for label in self._labels)
        return first, second

    def files(self, setup: Setup) -> list[Path]:
        return [self._gguf(setup)]

    def _gguf(self, setup: Setup) -> Path:
        assert setup.gguf is not None
        return setup.gguf


class LlamaCppF32(LlamaCpp):
    """The same weights in f32: what llama.cpp does without int8 activations."""

    name = "llamacpp-f32"
    what = "llama.cpp, the GGUF widened to f32 (its cache stays f16), shared beginnings kept"

    def prepare(self, setup: Setup) -> None:
        super().prepare(setup)

        def widen(folder: Path) -> None:
            import llama_cpp

            options = llama_cpp.llama_model_quantize_default_params()
            options.ftype = llama_cpp.LLAMA_FTYPE_ALL_F32
            options.allow_requantize = True
            target = folder / self._gguf(setup).name
            status = llama_cpp.llama_model_quantize(os.fsencode(setup.gguf), os.fsencode(target), options)
            if status:
                raise Unavailable(f"llama.cpp could not widen the GGUF (status {status})")

        once(setup.cache / "llamacpp-f32", widen)

    def _gguf(self, setup: Setup) -> Path:
        assert setup.gguf is not None
        return setup.cache / "llamacpp-f32" / setup.gguf.name
