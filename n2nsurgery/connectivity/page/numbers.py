"""Numbers for readers: short, with their unit, and the same everywhere on the page and in the terminal."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from n2nsurgery.connectivity.measures.measurement import SHARE, Number

MISSING = "\N{EN DASH}"
DIGITS = 6
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(value: Number, unit: str = "") -> str:
    """`value` in at most four significant digits, or as a whole number, with its unit; a dash for None."""
    if value is None:
        return MISSING
    if unit == SHARE:
        return f"{shown(100 * value)}\N{NO-BREAK SPACE}%"
    if unit == "log10":
        return f"10{f'{value:.0f}'.translate(_SUPERSCRIPT)}"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e9):  # noqa: PLR2004 - readable
        text = f"{int(value):,}"
    elif 1e-4 <= abs(value) < 1e6:  # noqa: PLR2004 - readable without an exponent
        text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"  # noqa: PLR2004
    else:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        text = f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    one = unit.removesuffix("s") if value == 1 else unit
    return f"{text} {one}" if unit else text


def tied(text: str) -> str:
    """`text` with its percent signs tied to their numbers, and with powers of ten set as such."""
    powers = re.sub(r"10\^(-?\d+)", lambda power: f"10{power[1].translate(_SUPERSCRIPT)}", text)
    return powers.replace(" %", "\N{NO-BREAK SPACE}%")


def unbroken(text: str) -> Markup:
    """`text`, escaped, with its options (`--keep-alive`) marked, which a line must not end inside of."""
    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="option">\g<0></span>', str(escape(text))))  # noqa: S704 - escaped


def rounded(value: Number) -> Number:
    """`value` to six significant digits, which is more than a plot shows."""
    return value if value is None or isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def several(names: tuple[str, ...]) -> str:
    """The names, or the first two and how many more there are."""
    if len(names) <= 3:  # noqa: PLR2004 - what fits into a cell
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


def in_percent(share: Number) -> Number:
    """A part of a whole, in [0, 1], as a plot in percent has it."""
    return None if share is None else rounded(100.0 * share)
