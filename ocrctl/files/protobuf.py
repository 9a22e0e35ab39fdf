"""Read protobuf messages without their schema, numbers of fields and their content, and write fields.

The wire format is https://protobuf.dev/programming-guides/encoding/. ONNX files are such messages, and reading one
does not require the package onnx.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

Content = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Content]]:
    """Number and content of every field of `message`: an unsigned integer for a varint, bytes for all others.

    Raises IndexError or ValueError for a message that is cut off, or that is none.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        wire = key & 7
        content: Content
        if wire == VARINT:
            content, position = _varint(message, position)
        else:
            if wire == BYTES:
                size, position = _varint(message, position)
            elif wire in (FIXED32, FIXED64):
                size = 4 if wire == FIXED32 else 8
            else:
                raise ValueError(f"wire type {wire} at byte {position}")
            if position + size > end:
                raise ValueError(f"a field of {size} bytes ends behind its message")
            content, position = message[position : position + size], position + size
        yield key >> 3, content


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Return the contents of all fields `number` that are bytes: messages, strings or raw data. Raises as `fields`."""
    for field, content in fields(message):
        if field == number and isinstance(content, memoryview):
            yield content


def integers(message: memoryview, number: int) -> Iterator[int]:
    """Return the signed integers of all fields `number`, packed or one by one. Raises as `fields`."""
    return unpacked(content for field, content in fields(message) if field == number)


def text(message: memoryview, number: int) -> str:
    """Return the last field `number` as text, "" where there is none. Raises as `fields`."""
    return decoded(messages(message, number))


def grouped(message: memoryview) -> dict[int, list[Content]]:
    """Return the contents of all fields of `message` by their number, in one pass. Raises as `fields`."""
    found: dict[int, list[Content]] = {}
    for number, content in fields(message):
        found.setdefault(number, []).append(content)
    return found


def unpacked(contents: Iterable[Content]) -> Iterator[int]:
    """Return the signed integers in the contents of one field, packed or one by one. Raises as `fields`."""
    for content in contents:
        if isinstance(content, int):
            yield _signed(content)
            continue
        position = 0
        while position < len(content):
            one, position = _varint(content, position)
            yield _signed(one)


def decoded(contents: Iterable[Content]) -> str:
    """Return the last of the contents of one field as text, "" where there is none."""
    found = b""
    for content in contents:
        found = b"" if isinstance(content, int) else bytes(content)
    return found.decode(errors="replace")


def encoded(number: int, content: int | bytes | memoryview) -> bytes:
    """Return field `number` as it is written: an integer from 0 as a varint, else a message, string or raw data."""
    if isinstance(content, int):
        return _as_varint(number << 3 | VARINT) + _as_varint(content)
    return b"".join((_as_varint(number << 3 | BYTES), _as_varint(len(content)), content))


def _as_varint(number: int) -> bytes:
    """A number from 0, seven bits a byte."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    if (number := message[position]) < 128:  # most are
        return number, position + 1
    number = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
    raise ValueError(f"a number of more than ten bytes at byte {position}")


def _signed(number: int) -> int:
    """A 64-bit integer in two's complement."""
    return number - (1 << 64) if number >> 63 else number
