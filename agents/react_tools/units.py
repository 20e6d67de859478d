"""Conversion between units of one kind."""

import math
from typing import Annotated

from langchain_core.tools import ToolException

# value in the base unit = value * factor + offset
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "length": {
        "mm": (0.001, 0),
        "cm": (0.01, 0),
        "m": (1, 0),
        "km": (1000, 0),
        "in": (0.0254, 0),
        "ft": (0.3048, 0),
        "yd": (0.9144, 0),
        "mi": (1609.344, 0),
        "nmi": (1852, 0),
    },
    "mass": {"g": (0.001, 0), "kg": (1, 0), "t": (1000, 0), "oz": (0.028349523125, 0), "lb": (0.45359237, 0)},
    "temperature": {"K": (1, 0), "C": (1, 273.15), "F": (5 / 9, 273.15 - 32 * 5 / 9)},
    "speed": {"m/s": (1, 0), "km/h": (1 / 3.6, 0), "mph": (0.44704, 0), "kn": (1852 / 3600, 0)},
    "time": {"s": (1, 0), "min": (60, 0), "h": (3600, 0), "day": (86400, 0), "week": (604800, 0)},
    "volume": {"ml": (0.001, 0), "l": (1, 0), "m3": (1000, 0), "gal": (3.785411784, 0)},
    "area": {"m2": (1, 0), "ha": (10000, 0), "km2": (1_000_000, 0), "acre": (4046.8564224, 0)},
    "pressure": {
        "Pa": (1, 0),
        "hPa": (100, 0),
        "kPa": (1000, 0),
        "bar": (100_000, 0),
        "psi": (6894.757293168, 0),
    },
    "energy": {"J": (1, 0), "Wh": (3600, 0), "kWh": (3_600_000, 0)},
    "data": {"B": (1, 0), "kB": (1000, 0), "MB": (1_000_000, 0), "GB": (1_000_000_000, 0), "KiB": (1024, 0)},
}
KIND_OF = {unit: kind for kind, units in KINDS.items() for unit in units}


def kind_of(unit: str) -> str:
    if unit not in KIND_OF:
        raise ToolException(f"unknown unit {unit[:20]!r}; known units: {', '.join(KIND_OF)}")
    return KIND_OF[unit]


def convert(
    value: Annotated[float, "The number to convert"],
    from_unit: Annotated[str, "For example km, lb, F, km/h, h, l, ha, bar, kWh, MB"],
    to_unit: Annotated[str, "A unit of the same kind"],
) -> str:
    """Convert a value from one unit to another."""
    kind, other = kind_of(from_unit), kind_of(to_unit)
    if kind != other:
        raise ToolException(f"{from_unit} is a unit of {kind}, but {to_unit} is one of {other}")
    factor, offset = KINDS[kind][from_unit]
    to_factor, to_offset = KINDS[kind][to_unit]
    result = (value * factor + offset - to_offset) / to_factor
    if not math.isfinite(result):
        raise ToolException(f"{value} cannot be converted: it is not a finite number, or too large")
    return f"{value:.10g} {from_unit} = {round(result, 9):.10g} {to_unit}"
