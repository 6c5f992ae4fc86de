"""How byte-level BPE tokenizers split a text before they merge: what a GGUF file's ``tokenizer.ggml.pre`` names.

llama.cpp knows a tokenizer.json by a name and carries its splitting over by hand. Here the names lead back to the
splitting, and the normalization, of the tokenizer.json they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Regex, normalizers, pre_tokenizers

# Words with what stands before them, numbers of some digits, punctuation with its line breaks, line breaks, blanks.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3, _QWEN2 = _WORDS % "{1,3}", _WORDS % ""
# Mistral's: words are split where capitals begin.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# DeepSeek's lists of letters with two cases, of punctuation, and of Chinese, Japanese and Korean.
_CASED = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ"
    r"\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ"
    r"ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
)
_ASIAN = r"[一-龥ࠀ-一가-\x{D7FF}]+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"


@dataclass(frozen=True)
class Splitting:
    """A kind of splitting.

    Attributes:
        patterns: each splits what the one before left; none for GPT-2's own splitting.
        digits: whether each digit stands alone, split off after the patterns.
        composed: whether the text is normalized to NFC.
        ignore_merges: whether a piece that is a token as a whole is not merged up to it.
        begins: whether a beginning-of-sequence token is added where a file does not say.
    """

    patterns: tuple[str, ...] = ()
    digits: bool = False
    composed: bool = False
    ignore_merges: bool = False
    begins: bool = False

    def normalizer(self) -> normalizers.Normalizer | None:
        """What is done to the text first."""
        return normalizers.NFC() if self.composed else None

    def pre_tokenizer(self, add_prefix_space: bool) -> pre_tokenizers.PreTokenizer:
        """The splitting. A blank before the text is known to GPT-2's alone, as in transformers."""
        steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in self.patterns]
        if self.digits:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        if not steps:
            return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
        return pre_tokenizers.Sequence(
            [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not self.patterns)]
        )


_GPT, _DIGITS = Splitting(), Splitting(digits=True)
_QWEN = Splitting((_QWEN2,), composed=True)
_LLAMA = Splitting((_LLAMA3,), ignore_merges=True, begins=True)
SPLITTINGS = {
    "default": Splitting((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "deepseek-coder": Splitting(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _ASIAN), digits=True),
    "deepseek-llm": Splitting(
        ("[\r\n]", _CASED, r"\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+", r"\s+$", _ASIAN), digits=True
    ),
    "deepseek-r1-qwen": _QWEN,
    "falcon3": _LLAMA,
    "gpt-2": _GPT,
    "llama-bpe": _LLAMA,
    "llama-v3": _LLAMA,
    "llama3": _LLAMA,
    "minerva-7b": _DIGITS,
    "olmo": Splitting(composed=True),
    "phi-2": _GPT,
    "pixtral": _LLAMA,
    "qwen2": _QWEN,
    "refact": _DIGITS,
    "smaug-bpe": Splitting((_LLAMA3,)),
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "tekken": Splitting((_TEKKEN,), ignore_merges=True, begins=True),
}
# Files written before llama.cpp had the name: where all models of an architecture split alike.
# For all others GPT-2's own, behind a beginning token: so transformers reads a file that does not say.
UNSAID = Splitting(begins=True)
# Tokens of vocabularies that are known to be split otherwise.
ELSEWHERE = ("<|begin_of_text|>", "[TOOL_CALLS]", "<|im_sep|>", "<｜begin▁of▁sentence｜>")
OF_ARCHITECTURE = {"gpt2": "gpt-2", "qwen2": "qwen2"}
