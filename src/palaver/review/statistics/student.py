"""Student's t distribution, without a library that is larger than the rest of the program.

The incomplete beta function by its continued fraction (Lentz's method; NIST Digital Library of Mathematical Functions,
8.17.22), good to about 1e-12 for the degrees of freedom that occur here.
"""

import math

_TINY = 1e-300
_CLOSE = 1e-15


def two_sided(t: float, freedom: float) -> float:
    """The probability of a value at least as far from 0 as `t`, with `freedom` > 0 degrees of freedom."""
    if math.isinf(t):
        return 0.0
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def quantile(probability: float, freedom: float) -> float:
    """The t below which a value lies with this probability (0.5 <= probability < 1). Found by bisection."""
    if not 0.5 <= probability < 1.0:
        raise ValueError(f"probability is {probability}; it must be at least 0.5 and below 1.")
    tail, low, high = 2 * (1 - probability), 0.0, 1.0
    while two_sided(high, freedom) > tail:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if two_sided(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + step * d)
            c = _away_from_zero(1.0 + step / c)
            result *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
