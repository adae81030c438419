"""The two roundings of the published format, and how it writes numbers.

The result file rounds decimals half up; the Markdown report prints through ECMAScript's `toFixed`, which rounds the
exact binary value. They differ on exact quarters (8.25 prints as 8.3, 8.05 as 8.1, 9.35 as 9.3), and Python's own
`round` and `.1f` agree with neither.

Invariant: nothing here goes through a binary float that was not one already.
"""

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction


def exact(score: float) -> Fraction:
    """The decimal number that `score` is written as, so that 8.55 is 855/100 and not its nearest binary neighbour."""
    return Fraction(repr(score))


def half_up(value: Fraction, places: int) -> float:
    """Round to `places` decimals; a tie goes away from zero for positive numbers (towards positive infinity)."""
    scale: int = 10**places
    return math.floor(value * scale + Fraction(1, 2)) / scale


def to_fixed(value: float, places: int) -> str:
    """ECMAScript's `Number.prototype.toFixed` (ECMA-262, 21.1.3.3): of the exact binary value, a tie to the larger."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP))


def json_number(value: float) -> int | float:
    """A number as JSON writes it in the published form: 7 and 6.6, never 7.0."""
    return int(value) if float(value).is_integer() else value
