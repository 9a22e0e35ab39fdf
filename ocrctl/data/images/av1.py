"""Read the image size from the AV1 stream of an AVIF, which decides how much memory its decoder allocates.

AV1 Bitstream & Decoding Process Specification, sections 5.3 and 5.5, https://aomediacodec.github.io/av1-spec/
"""

from __future__ import annotations

_SEQUENCE_HEADER = 1  # type of an open bitstream unit
_UNITS = 4  # units that are searched: the sequence header comes first, or after a temporal delimiter
_HEADER_BYTES = 256  # longer than a sequence header of 32 operating points


class _Bits:
    """Bit reader for big-endian numbers. `take` raises ValueError at the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("cut off")
        return (self._value >> self._left) & ((1 << count) - 1)


def stream_sizes(data: bytes) -> list[tuple[int, int]]:
    """Return the (width, height) of each readable sequence header in an AVIF: in its configuration (av1C) and at the
    start of its media data (mdat)."""
    sizes = []
    for mark, skip in ((b"av1C", 8), (b"mdat", 4)):
        offset = data.find(mark)
        while offset >= 0:
            try:
                size = _of_units(data[offset + skip : offset + skip + _HEADER_BYTES])
            except (ValueError, IndexError):  # cut off, or no unit
                size = None
            if size is not None:
                sizes.append(size)
            offset = data.find(mark, offset + 4)
    return sizes


def _of_units(data: bytes) -> tuple[int, int] | None:
    """Return the size in the sequence header among the first units of `data`, or None."""
    position = 0
    for _ in range(_UNITS):
        head = data[position]
        if head & 0x81 or not head & 0x02:  # not a unit, or one without a length
            return None
        position += 2 if head & 0x04 else 1
        length, shift = 0, 0
        while True:
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        if head >> 3 & 0x0F == _SEQUENCE_HEADER:
            return _sequence_size(_Bits(data[position : position + length]))
        position += length
    return None


def _sequence_size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced still picture header
        bits.take(5)
    else:
        delay = _timing(bits) if bits.take(1) else 0
        display_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay and bits.take(1):
                bits.take(2 * delay + 1)
            if display_delay and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _timing(bits: _Bits) -> int:
    """Skip the timing information. Returns the bits of a buffer delay, 0 without a decoder model."""
    bits.take(64)
    if bits.take(1):
        zeros = 0
        while not bits.take(1):
            zeros += 1
        bits.take(min(zeros, 32))
    if not bits.take(1):
        return 0
    delay = bits.take(5) + 1
    bits.take(42)
    return delay
