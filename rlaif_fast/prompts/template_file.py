"""A user's own template: a small TOML file (docs/templates.md), and errors that name its line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from rlaif_fast.errors import PairError, TemplateError
from rlaif_fast.prompts.built_in import wording_named
from rlaif_fast.prompts.few_shot import worked
from rlaif_fast.prompts.template import PLACES, Wording
from rlaif_fast.rows.pairs import Pair, pair_from_row

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LARGEST = 1 << 16  # bytes; a template is a page or two
_KEYS = ("name", "head", "body", "ending", "reply", "labels", "exemplars")
_REQUIRED = _KEYS[:4]
_EXEMPLAR = ("instruction", "response_0", "response_1", "label", "rationale")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_AT = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$")


class TemplateSource:
    """What ``--template`` names, read: a built-in template, or a file's.

    Attributes:
        wording: the template in its parts.
        file: None for a built-in one.
    """

    def __init__(self, wording: Wording, file: _File | None = None) -> None:
        self.wording, self.file = wording, file

    def located(self, error: TemplateError) -> TemplateError:
        """What a tokenizer said of a label or another part, with the line that stands on."""
        if self.file is None:
            return error
        texts = {key: getattr(self.wording, key) for key in ("head", "body", "ending", "reply")}
        key = next((key for key, text in texts.items() if error.part and error.part in text), "labels")
        return TemplateError(f"{self.file.at(key)}: {error}")


def read_template(name_or_file: str) -> TemplateSource:
    """The built-in template of that name, or that of a ``.toml`` file.

    Raises:
        TemplateError: there is none, or the file is no template; with file and line.
    """
    path = Path(name_or_file)
    if path.suffix != ".toml":
        return TemplateSource(wording_named(name_or_file))
    file = _File(name_or_file)
    return TemplateSource(_wording(file), file)


def to_toml(wording: Wording) -> str:
    """The text of a file that reads back as ``wording``."""

    def line(key: str, value: object) -> str:
        # JSON's strings are TOML's, but for a character that TOML wants escaped.
        return f"{key} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")

    parts = [line(key, getattr(wording, key)) for key in _REQUIRED]
    parts += [line("reply", wording.reply)] if wording.reply else []
    parts.append(line("labels", list(wording.labels)))
    for shown in wording.exemplars:
        first, second = reversed((shown.first, shown.second)) if shown.right else (shown.first, shown.second)
        values = shown.instruction, first, second, 0, shown.rationale
        parts += ["\n[[exemplars]]\n", *map(line, _EXEMPLAR, values)]
    return "".join(parts)


class _File:
    """A parsed TOML file that knows on which line a value stands."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            with open(path, "rb") as stream:
                raw = stream.read(_LARGEST + 1)
        except OSError as error:
            raise TemplateError(f"{path}: cannot be read ({error.strerror})") from None
        if len(raw) > _LARGEST:
            raise TemplateError(f"{path}: more than {_LARGEST:,} bytes, which no template has")
        try:
            self.text = raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise TemplateError(f"{path}, line {line}: not UTF-8 (byte {error.object[error.start]:#04x})") from None
        try:
            self.data = tomllib.loads(self.text)
        except RecursionError:
            raise TemplateError(f"{path}, line 1: nested too deeply") from None
        except ValueError as error:  # of which a TOMLDecodeError is one; also a date or a number out of range
            raise TemplateError(self._syntax(str(error))) from None

    def _syntax(self, message: str) -> str:
        found = _AT.search(message)
        line = int(found[1]) if found and found[1] else self.text.count("\n") + 1
        column = f", column {found[2]}" if found and found[2] else ""
        return f"{self.path}, line {line}: not TOML ({_AT.sub('', message)}{column})"

    def at(self, *keys: str | int) -> str:
        """ "file, line N": where the statement begins that gives ``keys`` its value; line 1 where none does.

        The first lines of a file are TOML themselves only up to the end of a statement.
        """
        lines = self.text.split("\n")
        # The first ``high`` lines hold it, the first ``low`` do not; ``before`` are whole statements without it.
        before, low, high = 0, 0, len(lines) if _holds(self.data, keys) else 0
        while high - low > 1:
            middle = (low + high) // 2
            ends = (count for count in range(middle, low, -1) if _parsed(lines[before:count]) is not None)
            whole = next(ends, None)  # where a statement ends
            if whole is None:
                low = middle
            elif _holds(_parsed(lines[:whole]), keys):
                high = whole
            else:
                before, low = whole, middle
        return f"{self.path}, line {before + 1}"

    def fail(self, message: str, *keys: str | int) -> NoReturn:
        raise TemplateError(f"{self.at(*keys)}: {message}")


def _parsed(lines: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return None


def _holds(data: Any, keys: tuple[str | int, ...]) -> bool:
    for key in keys:
        if isinstance(key, int):
            if not isinstance(data, list) or key >= len(data):
                return False
        elif not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True


def _wording(file: _File) -> Wording:
    for key in file.data:
        if key not in _KEYS:
            file.fail(f"unknown key {key!r}, a template has {', '.join(_KEYS)}", key)
    name, head, body, ending = (_text(file, key) for key in _REQUIRED)
    reply = _text(file, "reply") if "reply" in file.data else ""
    if not _NAME.fullmatch(name):
        file.fail(f"name is {name!r}, use up to 40 letters, digits and . _ -, beginning with a letter or digit", "name")
    for place in PLACES:
        count = body.count(f"{{{place}}}")
        if count != 1:
            file.fail(f"body needs {{{place}}} once, it has it {count} times", "body")
        for key, text in (("head", head), ("ending", ending), ("reply", reply)):
            if f"{{{place}}}" in text:
                file.fail(f"{key} has {{{place}}}, the places belong into body", key)
    labels = _labels(file)
    rows = [_row(file, number, row) for number, row in enumerate(_tables(file))]
    return Wording(name, head, body, ending, labels, worked(rows), reply)


def _text(file: _File, key: str) -> str:
    if key not in file.data:
        file.fail(f"{key!r} is missing; a template has name, head, body and ending")
    value = file.data[key]
    if not isinstance(value, str) or not value.strip():
        file.fail(f"{key} must be a text that is not empty", key)
    if "\0" in value:
        file.fail(f"{key} has a NUL, remove it", key)
    return value


def _labels(file: _File) -> tuple[str, ...]:
    value = file.data.get("labels", ["1", "2"])
    good = isinstance(value, list) and all(isinstance(label, str) and label and "\0" not in label for label in value)
    if not good or len(value) not in (2, 3) or len({*value}) != len(value):
        file.fail('labels must be two different texts, as in ["A", "B"], or three, the third for a tie', "labels")
    return tuple(value)


def _tables(file: _File) -> list[Any]:
    value = file.data.get("exemplars", [])
    if not isinstance(value, list):
        file.fail("exemplars must be tables, each under [[exemplars]]", "exemplars")
    return value


def _row(file: _File, number: int, row: Any) -> Pair:
    keys = ("exemplars", number)
    if not isinstance(row, dict):
        file.fail("exemplars must be tables, each under [[exemplars]]", *keys)
    for key in row:
        if key not in _EXEMPLAR:
            file.fail(f"unknown key {key!r}, an exemplar has {', '.join(_EXEMPLAR)}", *keys, key)
    if type(row.get("label")) is not int or row["label"] not in (0, 1):
        file.fail("an exemplar needs label = 0 or 1, the index of the preferred response", *keys, "label")
    if not isinstance(row.get("rationale", ""), str):
        file.fail("rationale must be a text", *keys, "rationale")
    try:
        return pair_from_row(row, where=file.at(*keys))
    except PairError as error:
        raise TemplateError(str(error)) from None
