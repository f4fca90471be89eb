"""Grisu2: digits that give the same double again, nearly always the fewest.

F. Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers" (PLDI 2010), with
the powers of ten and the roundings of RapidJSON 1.1.0 (internal/dtoa.h), so that errors show a
number as TensorFlow Serving does: 18446744073709553000.0 for 2^64.
"""

from __future__ import annotations

import math

_BITS = 64  # of a significand
_LARGEST_EXPONENT = -61  # of two, of a product: its whole part has 32 bits at most


def digits(value: float) -> tuple[str, int]:
    """A finite value > 0 -> digits and an exponent: value = digits * 10^exponent."""
    significand, two = _parts(value)
    high = _normalized(2 * significand + 1, two - 1)
    # The gap below a power of two is half of the one above it.
    low = (4 * significand - 1, two - 2) if significand == 2**52 else (2 * significand - 1, two - 1)
    low_significand = low[0] << (low[1] - high[1])
    power, ten = _power(high[1])
    middle = _times(_normalized(significand, two)[0], power[0])
    upper = _times(high[0], power[0]) - 1
    lower = _times(low_significand, power[0]) + 1
    return _generated(middle, upper, upper - lower, -(high[1] + power[1] + _BITS), ten)


def _parts(value: float) -> tuple[int, int]:
    """The significand of 53 bits (fewer of a subnormal number) and the exponent of two."""
    two = max(math.frexp(value)[1] - 53, -1074)
    return int(math.ldexp(value, -two)), two


def _normalized(significand: int, two: int) -> tuple[int, int]:
    shift = _BITS - significand.bit_length()
    return significand << shift, two - shift


def _times(a: int, b: int) -> int:
    """The upper half of a product, rounded."""
    return (a * b + (1 << (_BITS - 1))) >> _BITS


def _power(two: int) -> tuple[tuple[int, int], int]:
    """A power of ten as a significand and an exponent of two, and the exponent of ten to undo it.

    It is the one of -348, -340, ... 340 that brings a number with this exponent of two into reach.
    """
    index = (math.ceil((_LARGEST_EXPONENT - two) * 0.30102999566398114 + 347) >> 3) + 1
    ten = -348 + 8 * index
    if ten >= 0:
        shift = max((10**ten).bit_length() - _BITS, 0)
        whole = 10**ten + (1 << shift >> 1) >> shift
        return _normalized(whole, shift), -ten
    shift = _BITS + (10**-ten).bit_length()
    quotient = (1 << shift) // 10**-ten
    shift -= quotient.bit_length() - _BITS
    return (((2 << shift) // 10**-ten + 1) >> 1, -shift), -ten


def _generated(middle: int, upper: int, delta: int, bits: int, ten: int) -> tuple[str, int]:
    """Digits of `upper`, whose lower `bits` are its fraction, until it is less than `delta` off."""
    one = 1 << bits
    whole, fraction = upper >> bits, upper & (one - 1)
    gap, made = upper - middle, 0
    for left in reversed(range(len(str(whole)))):
        digit, whole = divmod(whole, 10**left)
        made = 10 * made + digit
        rest = (whole << bits) + fraction
        if rest <= delta:
            return str(_rounded(made, delta, rest, 10**left << bits, gap)), ten + left
    decimals = 0
    while True:
        fraction, delta, decimals = 10 * fraction, 10 * delta, decimals + 1
        made = 10 * made + (fraction >> bits)
        fraction &= one - 1
        if fraction < delta:
            scaled = gap * 10**decimals if decimals < 9 else 0  # RapidJSON's table ends there
            return str(_rounded(made, delta, fraction, one, scaled)), ten - decimals


def _rounded(made: int, delta: int, rest: int, step: int, gap: int) -> int:
    """Lowers the last digit while that comes nearer to the number."""
    while (
        rest < gap
        and delta - rest >= step
        and (rest + step < gap or gap - rest > rest + step - gap)
    ):
        made, rest = made - 1, rest + step
    return made
