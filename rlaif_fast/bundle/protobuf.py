"""Protobuf's encoding, read field by field: the runtime has no onnx package, and trusts no model.

A message is a run of fields, each a key (number and kind) and a varint, a length and bytes, or 4 or 8 bytes.
Accepted is less than other readers accept, so that none of them sees a field that was not seen here.
"""

from __future__ import annotations

from collections.abc import Iterator

Value = int | memoryview
_LONGEST = {1: 8, 5: 4}  # bytes of the kinds with a fixed size


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) of a message: a varint as an int, everything else as its bytes.

    Raises:
        ValueError: cut off, a group, or a number that other readers cut short.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise ValueError(f"field number {number}")
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in _LONGEST:
            size = _LONGEST[kind]
        else:
            raise ValueError(f"field {number} is of kind {kind}")
        if size > len(message) - at:
            raise ValueError(f"field {number} is cut off")
        yield number, message[at : at + size]
        at += size


def submessage(value: Value) -> memoryview:
    """A field's value as a message. Raises ValueError where it is a number."""
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")
    return value


def integer(value: Value) -> int:
    """A field's value as a number, not negative. Raises ValueError where it is none."""
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number belongs")
    return value


def integers(value: Value) -> list[int]:
    """The numbers a field holds, one or packed: both ways of writing are valid. Raises ValueError."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, where the next byte is): seven bits a byte, the lowest first."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise ValueError("a number of more than 64 bits")
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    raise ValueError("a number is cut off")
