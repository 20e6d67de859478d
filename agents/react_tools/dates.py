"""Calendar arithmetic on given dates: the current date is never read."""

import calendar
import datetime as dt
from typing import Annotated

from langchain_core.tools import ToolException

MAX_WORKING_DAYS = 5000
SATURDAY = 5


def parse(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ToolException(f"{text[:40]!r} is not a date of the form YYYY-MM-DD") from error


def is_working(day: dt.date) -> bool:
    return day.weekday() < SATURDAY


def add_months(day: dt.date, months: int) -> dt.date:
    """Add months; a day that the month lacks becomes its last one."""
    years, month = divmod(day.month - 1 + months, 12)
    last = calendar.monthrange(day.year + years, month + 1)[1]
    return dt.date(day.year + years, month + 1, min(day.day, last))


def add_working_days(day: dt.date, count: int) -> dt.date:
    if abs(count) > MAX_WORKING_DAYS:
        raise ToolException(f"working_days is {count}; at most {MAX_WORKING_DAYS} are allowed")
    step = dt.timedelta(days=1 if count > 0 else -1)
    left = abs(count)
    while left:
        day += step
        left -= is_working(day)
    return day


def date_add(
    date: Annotated[str, "The date to start from, YYYY-MM-DD"],
    days: Annotated[int, "Calendar days to add, may be negative"] = 0,
    months: Annotated[int, "Months to add, may be negative"] = 0,
    working_days: Annotated[int, "Days from Monday to Friday to add, may be negative"] = 0,
) -> str:
    """Add months, then calendar days, then working days to a date."""
    start = parse(date)
    try:
        end = add_working_days(add_months(start, months) + dt.timedelta(days=days), working_days)
    except (OverflowError, ValueError, calendar.IllegalMonthError) as error:
        raise ToolException("the result lies outside the years 1 to 9999") from error
    return f"{end.isoformat()}, a {end:%A}"


def date_diff(
    start: Annotated[str, "YYYY-MM-DD"],
    end: Annotated[str, "YYYY-MM-DD"],
) -> str:
    """Count the days from one date to another; working days are Monday to Friday, without the first date."""
    first, last = parse(start), parse(end)
    days = (last - first).days
    weeks, rest = divmod(abs(days), 7)
    later = max(first, last)
    working = weeks * 5 + sum(is_working(later - dt.timedelta(days=back)) for back in range(rest))
    return f"{days} days ({working if days >= 0 else -working} working days)"
