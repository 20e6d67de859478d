"""The tools of `react.py`: search, SQL, arithmetic, units and dates, over a fictional company's data."""

from collections.abc import Callable

from react_tools.calculator import calculator
from react_tools.database import sql
from react_tools.dates import date_add, date_diff
from react_tools.documents import search
from react_tools.units import convert

TOOLS: list[Callable[..., str]] = [search, sql, calculator, convert, date_add, date_diff]

__all__ = ["TOOLS", "calculator", "convert", "date_add", "date_diff", "search", "sql"]
