"""The tokenizer of a GGUF file, as the file describes it: the same ids as the model's own tokenizer.json gives.

transformers builds one from the vocabulary alone: how a text is split, and what is put before and behind it, it takes
from the architecture, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gguf import TokenType
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from rlaif_fast.errors import ExportError
from rlaif_fast_export.sources.failures import refused
from rlaif_fast_export.sources.gguf_file import GgufFile
from rlaif_fast_export.sources.gguf_splits import ELSEWHERE, OF_ARCHITECTURE, SPLITTINGS, UNSAID, Splitting

_ADDED = (TokenType.CONTROL, TokenType.USER_DEFINED)
_BLANK = "▁"  # SentencePiece's
# What SentencePiece would do to a text beforehand; no model of a supported family does.
_UNREAD = ("remove_extra_whitespaces", "precompiled_charsmap")


def gguf_tokenizer(file: GgufFile, notes: list[str]) -> Any:
    """The fast tokenizer of transformers, with the file's chat template and special tokens.

    ``notes`` gets a line on what the file leaves unsaid.

    Raises:
        ExportError: the file describes none, or one of a kind that is not known here.
    """
    with refused(f"{file.name}: its tokenizer cannot be read"):
        vocabulary = _Vocabulary.of(file)
        tokenizer = _bpe(vocabulary) if vocabulary.kind == "gpt2" else _sentencepiece(vocabulary)
        _add_tokens(tokenizer, vocabulary)
        tokenizer.post_processor = _around(vocabulary)
        if vocabulary.kind == "gpt2" and vocabulary.splitting is UNSAID:
            notes.append(
                f"{file.name}: does not say how it splits text (tokenizer.ggml.pre), it is read as GPT-2's; where the"
                " original splits otherwise, convert it again with a current llama.cpp"
            )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            chat_template=vocabulary.said.get("tokenizer.chat_template"),
            clean_up_tokenization_spaces=False,
            add_prefix_space=vocabulary.flag("add_space_prefix", False),  # it would take it off again
            **{f"{name}_token": vocabulary.tokens[i] for name, i in vocabulary.special.items()},
        )


@dataclass(frozen=True)
class _Vocabulary:
    """What a file says about its tokenizer.

    Attributes:
        kind: ``gpt2``, byte-level BPE, or ``llama``, SentencePiece's BPE.
        special: ids of the tokens that have a part to play, by ``bos``, ``eos``, ``unk``, ``pad``.
        said: every key of the tokenizer's.
    """

    model: str
    architecture: str
    kind: str
    tokens: list[str]
    types: list[int]
    special: dict[str, int]
    said: dict[str, Any]

    @classmethod
    def of(cls, file: GgufFile) -> _Vocabulary:
        said, model = file.tokenizer(), file.name
        kind, tokens = said.get("tokenizer.ggml.model"), said.get("tokenizer.ggml.tokens")
        if kind not in ("gpt2", "llama"):
            raise ExportError(f"{model}: tokenizers of the kind {kind!r} (tokenizer.ggml.model) are not supported")
        if not tokens:
            raise ExportError(f"{model}: has no vocabulary (tokenizer.ggml.tokens)")
        twice = len(tokens) - len(set(tokens))
        if twice:
            raise ExportError(f"{model}: {twice:,} of its tokens stand in the vocabulary twice (tokenizer.ggml.tokens)")
        types = said.get("tokenizer.ggml.token_type", [int(TokenType.NORMAL)] * len(tokens))
        if len(types) != len(tokens):
            raise ExportError(
                f"{model}: has {len(tokens):,} tokens and {len(types):,} types (tokenizer.ggml.token_type)"
            )
        return cls(model, file.architecture, kind, tokens, types, _special(said, kind, len(tokens), model), said)

    def flag(self, name: str, default: bool) -> bool:
        """What ``tokenizer.ggml.NAME`` says. Raises ExportError where it is neither true nor false."""
        value = self.said.get(f"tokenizer.ggml.{name}", default)
        if value not in (True, False):
            raise ExportError(f"{self.model}: tokenizer.ggml.{name} is {value!r}, neither true nor false")
        return bool(value)

    @property
    def splitting(self) -> Splitting:
        """How the text is split, of byte-level BPE. Raises ExportError."""
        name = self.said.get("tokenizer.ggml.pre") or OF_ARCHITECTURE.get(self.architecture)
        if name is None:
            if any(token in self.tokens for token in ELSEWHERE):
                raise ExportError(
                    f"{self.model}: does not say how it splits text (tokenizer.ggml.pre); convert the model again with"
                    " a current llama.cpp, or export the original"
                )
            return UNSAID
        if name not in SPLITTINGS:
            raise ExportError(
                f"{self.model}: splits text in a way that is not known here (tokenizer.ggml.pre = {name!r}); export the"
                " original model with its tokenizer.json"
            )
        return SPLITTINGS[name]

    @property
    def model_size(self) -> int:
        """How many tokens belong to the model itself; behind them stand added tokens only, and unused ones."""
        own = [i for i, kind in enumerate(self.types) if kind not in _ADDED and kind != TokenType.UNUSED]
        last = own[-1] if own else -1
        added = [i for i in range(last + 1, len(self.types)) if self.types[i] in _ADDED]
        unused = set(range(last + 1, added[-1])).difference(added) if added else ()
        return 1 + max([last, *unused])


def _special(said: dict[str, Any], kind: str, size: int, model: str) -> dict[str, int]:
    found = {"bos": 1, "eos": 2, "unk": 0} if kind == "llama" else {}  # llama.cpp's defaults
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        found[name] = said.get(f"tokenizer.ggml.{key}_token_id", found.get(name))
        if found[name] is not None and not 0 <= found[name] < size:
            raise ExportError(f"{model}: tokenizer.ggml.{key}_token_id is {found[name]:,}, it has {size:,} tokens")
    # Of a tokenizer that knows every byte, "unknown" and padding may be named by any token, an ordinary one too.
    types = said.get("tokenizer.ggml.token_type")
    return {
        name: i
        for name, i in found.items()
        if i is not None and (kind == "llama" or name in ("bos", "eos") or (types and types[i] in _ADDED))
    }


def _bpe(vocabulary: _Vocabulary) -> Tokenizer:
    splitting, merges = vocabulary.splitting, vocabulary.said.get("tokenizer.ggml.merges")
    if not merges:
        raise ExportError(f"{vocabulary.model}: has no merges (tokenizer.ggml.merges)")
    own = {token: i for i, token in enumerate(vocabulary.tokens[: vocabulary.model_size])}
    pairs = [(merge[:at], merge[at + 1 :]) for merge in merges if (at := merge.find(" ", 1)) > 0]
    if len(pairs) != len(merges):
        broken = next(merge for merge in merges if merge.find(" ", 1) < 1)
        raise ExportError(f"{vocabulary.model}: its merge {broken!r} is no pair (tokenizer.ggml.merges)")
    tokenizer = Tokenizer(models.BPE(own, pairs, ignore_merges=splitting.ignore_merges))
    if (normalizer := splitting.normalizer()) is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitting.pre_tokenizer(vocabulary.flag("add_space_prefix", False))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(vocabulary: _Vocabulary) -> Tokenizer:
    for name in _UNREAD:
        if vocabulary.said.get(f"tokenizer.ggml.{name}"):
            raise ExportError(f"{vocabulary.model}: changes a text before it is split (tokenizer.ggml.{name}), which is"
                              " not supported; export the original model with its tokenizer.json")  # fmt: skip
    scores = vocabulary.said.get("tokenizer.ggml.scores")
    if scores is None or len(scores) != len(vocabulary.tokens):
        raise ExportError(f"{vocabulary.model}: has no score for each of its tokens (tokenizer.ggml.scores)")
    pieces = [_piece(token, kind) for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)]
    own = {piece: i for i, piece in enumerate(pieces[: vocabulary.model_size])}
    mergeable = [
        (piece, 0.0 if kind == TokenType.USER_DEFINED else score)  # SentencePiece takes those as they stand
        for piece, kind, score in zip(pieces, vocabulary.types, scores, strict=True)
        if piece in own and kind in (TokenType.NORMAL, TokenType.USER_DEFINED)
    ]
    merges, unknown = list(_merges(mergeable, own)), pieces[vocabulary.special["unk"]]
    tokenizer = Tokenizer(models.BPE(own, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    blanks = normalizers.Replace(" ", _BLANK)
    prefixed = vocabulary.flag("add_space_prefix", True)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_BLANK), blanks]) if prefixed else blanks
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
        + ([decoders.Strip(content=" ", left=1)] if prefixed else [])
    )
    return tokenizer


def _piece(token: str, kind: int) -> str:
    """A token as SentencePiece has it: llama.cpp's converter writes runs of blanks as such."""
    return token.replace(" ", _BLANK) if kind == TokenType.USER_DEFINED and not token.strip(" ") else token


def _merges(pieces: Sequence[tuple[str, float]], ids: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Every way to put a piece together of two, in the order that transformers writes them into a tokenizer.json."""
    found = []
    for piece, score in pieces:
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        whole = sorted(
            (cut for cut in cuts if cut[0] in ids and cut[1] in ids), key=lambda cut: (ids[cut[0]], ids[cut[1]])
        )
        found += [(score, len(left), len(right), left, right) for left, right in whole]
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return ((left, right) for *_, left, right in found)


def _add_tokens(tokenizer: Tokenizer, vocabulary: _Vocabulary) -> None:
    """Control tokens and the user's own: they stand apart from the text around them."""
    special = {vocabulary.special[name] for name in ("bos", "eos", "unk") if name in vocabulary.special}
    added = [
        AddedToken(token, normalized=False, special=kind != TokenType.USER_DEFINED)
        for i, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True))
        if (kind in (*_ADDED, TokenType.UNKNOWN) or i in special)
        and not (vocabulary.kind == "llama" and _piece(token, kind) != token)  # made by merging
    ]
    tokenizer.add_tokens(added)
    tokenizer.add_special_tokens([token for token in added if token.special])
    for i, token in enumerate(vocabulary.tokens):
        if vocabulary.types[i] in _ADDED and tokenizer.token_to_id(_piece(token, vocabulary.types[i])) not in (i, None):
            raise ExportError(f"{vocabulary.model}: its token {token!r} cannot have the id {i:,} it states")


def _around(vocabulary: _Vocabulary) -> processors.PostProcessor:
    """What is put before and behind a text."""
    if vocabulary.kind == "llama":
        default = True
    else:
        default = vocabulary.splitting.begins and (vocabulary.splitting is not UNSAID or "bos" in vocabulary.special)
    begins = vocabulary.flag("add_bos_token", default)
    parts, used = ["$A"], []
    for name, wanted, place in (("bos", begins, 0), ("eos", vocabulary.flag("add_eos_token", False), len(parts) + 1)):
        if wanted:
            if name not in vocabulary.special:
                raise ExportError(
                    f"{vocabulary.model}: does not say which its {name} token is (tokenizer.ggml.{name}_token_id)"
                )
            token = vocabulary.tokens[vocabulary.special[name]]
            parts.insert(place, token)
            used.append((token, vocabulary.special[name]))
    return processors.TemplateProcessing(single=parts, special_tokens=used)
