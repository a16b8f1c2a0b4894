"""Whether an Ed25519 signature holds, written from RFC 8032, section 5.1.

Nothing here is secret, so that it may take its time: some milliseconds a signature. It needs no library, and shares
nothing with the one that signed.
"""

from __future__ import annotations

import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]
"""X, Y, Z, T: x = X/Z, y = Y/Z, xy = T/Z."""
_NEUTRAL: _Point = (0, 1, 1, 0)


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether whoever has the key signed the message; False as well for what is no key or no signature."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    encoded, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    key, commitment = _point_of(public_key), _point_of(encoded)
    if key is None or commitment is None or scalar >= _ORDER:
        return False
    hashed = hashlib.sha512(encoded + public_key + message).digest()
    challenge = int.from_bytes(hashed, "little") % _ORDER
    return _are_equal(_times(scalar, _BASE), _sum(commitment, _times(challenge, key)))


def _sum(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(scalar: int, point: _Point) -> _Point:
    product = _NEUTRAL
    while scalar:
        if scalar & 1:
            product = _sum(product, point)
        point = _sum(point, point)
        scalar >>= 1
    return product


def _are_equal(one: _Point, other: _Point) -> bool:
    is_x_equal = (one[0] * other[2] - other[0] * one[2]) % _P == 0
    return is_x_equal and (one[1] * other[2] - other[1] * one[2]) % _P == 0


def _x_of(y: int, sign: int) -> int | None:
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P:
        return None
    return _P - x if x & 1 != sign else x


def _point_of(encoded: bytes) -> _Point | None:
    number = int.from_bytes(encoded, "little")
    y = number & ((1 << 255) - 1)
    x = _x_of(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % _P)


def _base() -> _Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _x_of(y, 0) or 0
    return (x, y, 1, x * y % _P)


_BASE = _base()
