"""A JSON array, an element at a time.

By hand, because ijson takes the last of two equal keys and makes a lone surrogate a question mark in silence, stops at
NaN and at integers beyond 64 bits, knows no largest element, and does not say which element is wrong.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, BinaryIO, cast

from rlaif_fast.files.compression import CUT, DAMAGE
from rlaif_fast.files.source import LIMIT, STEP, TOO_LONG, Found
from rlaif_fast.files.strict_json import DECODER, reason

_SPACE = re.compile(r"[ \t\n\r]*")


class _Window:
    """The part of a JSON array's text that is being read."""

    def __init__(self, stream: BinaryIO, step: int) -> None:
        self._stream, self._step = cast(Any, stream), step
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._fed = self._gone = self._at = 0  # bytes read, characters dropped, place in the text
        self._text, self._ended = "", False
        self.problem: str | None = None  # why there is no more text, where the file does not just end

    def character(self) -> str:
        """The next one that is no blank; "" at the end."""
        while True:
            self._at = _end(self._text, self._at)
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        self._at += 1

    def value(self) -> Any:
        """The next element, if a comma or the array's end follows; ValueError says why there is none."""
        while True:
            text = self._text
            try:
                value, end = DECODER.raw_decode(text, self._at)
                if end - self._at > LIMIT:
                    raise ValueError(f"{TOO_LONG}, the array is not read further")
                after = _end(text, end)
                if text[after : after + 1] in (",", "]"):
                    self._at = after
                    return value
                error = json.JSONDecodeError("Expecting ',' delimiter", text, after)
            except json.JSONDecodeError as caught:
                error = caught
            except RecursionError as deep:
                raise ValueError(f"not JSON ({reason(deep)})") from None
            # More text may mend what is wrong near its end; an open string is reported where it begins.
            mendable = error.pos >= len(text) - 12 or error.msg.startswith("Unterminated string")
            if mendable and len(text) - self._at > LIMIT:
                raise ValueError(f"{TOO_LONG}, the array is not read further")
            place = self._gone + error.pos
            if not mendable or not self._more():
                raise ValueError((mendable and self.problem) or f"not JSON ({error.msg} at character {place})")

    def _more(self) -> bool:
        """Drop what was read and add up to as much as is left; False at the end."""
        wanted = min(max(self._step, len(self._text) - self._at), 1 << 20)
        data = b""
        try:
            while not self._ended and len(data) < wanted:
                part = self._stream.read1(wanted - len(data))
                data += part
                self._ended = not part
        except DAMAGE:
            self._ended, self.problem = True, CUT
        self._fed += len(data)
        try:
            text = self._decoder.decode(data, self._ended)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode()
            self._ended, self._fed = True, self._fed - len(error.object) + error.start
            self.problem = self.problem or f"not UTF-8 at byte {self._fed}"
            self._decoder.reset()
        self._text, self._gone, self._at = self._text[self._at :] + text, self._gone + self._at, 0
        return bool(text) or not self._ended


def _end(text: str, at: int) -> int:
    return cast("re.Match[str]", _SPACE.match(text, at)).end()


def elements(stream: BinaryIO, step: int = STEP) -> Found:
    window = _Window(stream, step)
    if window.character() != "[":
        yield 1, None, window.problem or "not a JSON array"
        return
    window.skip()
    number = 0
    more = window.character() != "]"
    while more:
        number += 1
        window.character()
        try:
            yield number, window.value(), None
        except ValueError as error:
            text = str(error)
            yield number, None, text if text.startswith(("not ", "longer", "the ")) else f"not JSON ({text})"
            return
        more = window.character() == ","
        if more:
            window.skip()
    window.skip()
    if window.character() or window.problem:
        yield number + 1, None, window.problem or "not JSON (more text behind the array)"
