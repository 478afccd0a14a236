"""PNGs made small: at most 256 colours, as pictures of boards have hardly more."""

from __future__ import annotations

import struct
import zlib

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
HEAD = b"\x89PNG\r\n\x1a\n"
COLOURS, KEPT = 256, 0xFC
"""So many colours there are at most; the last bits of each channel are left away before they are counted."""


def small(png: bytes) -> bytes:
    """Return a PNG of 8-bit RGBA as one with a palette."""
    pixels = _decoded(png)
    height, width, _ = pixels.shape
    flat = pixels[:, :, :3].reshape(-1, 3) & KEPT
    codes = flat.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, place, count = np.unique(codes, return_inverse=True, return_counts=True)
    kept = np.argsort(-count)[:COLOURS]
    colour = np.stack([found >> 16, found >> 8 & 0xFF, found & 0xFF], axis=1).astype(np.int32)
    nearest = np.array([np.argmin(((colour[kept] - one) ** 2).sum(axis=1)) for one in colour], np.uint8)
    nearest[kept] = np.arange(len(kept), dtype=np.uint8)
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = nearest[place].reshape(height, width)
    shown = np.minimum(colour[kept] * 255 // KEPT, 255).astype(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", shown.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return HEAD + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _decoded(png: bytes) -> Bytes:
    at, packed = len(HEAD), b""
    width, height = struct.unpack(">II", png[16:24])
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += length + 12
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width * 4 + 1).copy()
    _unfilter(rows)  # type: ignore[type-var]
    return rows[:, 1:].reshape(height, width, 4)


@numba.njit
def _unfilter(rows: Bytes) -> None:
    """Undo what PNG does to rows before it packs them (ISO/IEC 15948, 9)."""
    for y in range(rows.shape[0]):
        kind = rows[y, 0]
        for x in range(1, rows.shape[1]):
            left = np.int64(rows[y, x - 4]) if x > 4 else np.int64(0)
            up = np.int64(rows[y - 1, x]) if y else np.int64(0)
            corner = np.int64(rows[y - 1, x - 4]) if y and x > 4 else np.int64(0)
            added = np.int64(0)
            if kind == 1:
                added = left
            elif kind == 2:
                added = up
            elif kind == 3:
                added = (left + up) // 2
            elif kind == 4:
                guess = left + up - corner
                a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
                added = left if a <= b and a <= c else (up if b <= c else corner)
            rows[y, x] = (np.int64(rows[y, x]) + added) & 0xFF
