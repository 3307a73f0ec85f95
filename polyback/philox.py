"""Philox4x32-10, the counter-based generator of Salmon et al. (SC'11), written once as a Program.

Block number b of stream (key, lane) is four 32-bit words that depend on nothing else, so every
backend gives the same bits with any number of threads. Ten rounds; each multiplies two of the four
counter words by constants and swaps the high halves across, mixed with a key that grows by the
golden ratio and sqrt(3) - 1.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from polyback import scalar
from polyback.array import Array, empty
from polyback.dtype import int64, uint32
from polyback.program import Builder, Input, Program, Value
from polyback.runtime import Device, launch_program
from polyback.view import View

MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
WEYL: Final = (0x9E3779B9, 0xBB67AE85)
ROUNDS: Final = 10
WORD: Final = 0xFFFFFFFF


@cache
def philox_program() -> Program:
    """Inputs: first block number (int64), lane (2 words), key (2 words); outputs: 4 words."""
    builder = Builder([Input(int64, scalar=True), *[Input(uint32, scalar=True)] * 4])
    base, c2, c3, k0, k1 = (builder.value(k) for k in range(5))
    block = builder.iota() + base
    c0, c1 = (block & WORD).cast(uint32), ((block >> 32) & WORD).cast(uint32)
    for _ in range(ROUNDS):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
        k0, k1 = k0 + WEYL[0], k1 + WEYL[1]
    return builder.finish(c0, c1, c2, c3)


def _round(
    c0: Value, c1: Value, c2: Value, c3: Value, k0: Value, k1: Value
) -> tuple[Value, Value, Value, Value]:
    high0, low0 = scalar.MULTIPLY_HIGH(c0, MULTIPLIERS[0]), c0 * MULTIPLIERS[0]
    high1, low1 = scalar.MULTIPLY_HIGH(c2, MULTIPLIERS[1]), c2 * MULTIPLIERS[1]
    return high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0


def random_words(device: Device, count: int, seed: int, first_block: int, lane: int = 0) -> Array:
    """``count`` random uint32 words: those of blocks ``first_block``, ``first_block + 1``, ..."""
    blocks = -(-count // 4)
    words = empty(device, (4 * blocks,), uint32)
    if blocks:
        outs = [words.with_view(View((blocks,), (4,), k)).operand() for k in range(4)]
        start = (first_block + 2**63) % 2**64 - 2**63  # block numbers wrap as int64 does
        key = (seed & WORD, seed >> 32 & WORD)
        numbers = [start, lane & WORD, lane >> 32 & WORD, *key]
        launch_program(device, philox_program(), outs, numbers)
    return words.with_view(words.view.slice(0, 0, count))
