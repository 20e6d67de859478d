"""Read-only SQL over the company's products, customers, orders, employees and support tickets."""

import csv
import functools
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

from langchain_core.tools import ToolException

FOLDER = Path(__file__).parent / "data"
MAX_QUERY = 2000
MAX_ROWS = 40
MAX_CELL = 200
MAX_VALUE = 20_000  # bytes in one value: keeps a single call of a function cheap
STEPS_PER_CHECK = 1000  # virtual machine instructions between two looks at the budget
MAX_CHECKS = 5000
MAX_SECONDS = 1.0

SCHEMA = """
CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT, category TEXT, price_eur INTEGER, weight_g INTEGER,
    stock INTEGER, reorder_level INTEGER, warranty_months INTEGER);
CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, country TEXT, segment TEXT, customer_since INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id TEXT REFERENCES customers,
    ordered_on TEXT, shipped_on TEXT, status TEXT, discount_percent INTEGER);
CREATE TABLE order_lines (order_id INTEGER REFERENCES orders, line INTEGER,
    product_id TEXT REFERENCES products, quantity INTEGER, unit_price_eur INTEGER,
    PRIMARY KEY (order_id, line));
CREATE TABLE employees (id TEXT PRIMARY KEY, name TEXT, team TEXT, site TEXT, hired_on TEXT,
    weekly_hours REAL, leave_days_left INTEGER, lead_id TEXT REFERENCES employees);
CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer_id TEXT REFERENCES customers,
    product_id TEXT REFERENCES products, opened_on TEXT, closed_on TEXT, severity INTEGER, cause TEXT);
"""
TABLES = ("products", "customers", "orders", "order_lines", "employees", "tickets")
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}


@functools.cache
def database_image() -> bytes:
    """Return the database as bytes, built from the CSV files; an empty field is NULL."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        for table in TABLES:
            with (FOLDER / f"{table}.csv").open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
            marks = ", ".join("?" * len(header))
            values = [[field or None for field in row] for row in rows]
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 - names from TABLES
        db.commit()
        return db.serialize()


def only_reading(action: int, first: str | None, second: str | None, _db: str | None, _trigger: str | None) -> int:
    """Allow SELECT and its functions; deny writes, PRAGMA, ATTACH and loading extensions."""
    del first
    if action in READING or (action == sqlite3.SQLITE_FUNCTION and second != "load_extension"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def open_guarded() -> sqlite3.Connection:
    """Open a private copy of the database which can only be read, within a fixed budget of work."""
    db = sqlite3.connect(":memory:")
    db.deserialize(database_image())
    db.execute("PRAGMA query_only = ON")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    db.set_authorizer(only_reading)
    left = MAX_CHECKS
    deadline = time.monotonic() + MAX_SECONDS

    def spend() -> int:
        nonlocal left
        left -= 1
        return left < 0 or time.monotonic() > deadline

    db.set_progress_handler(spend, STEPS_PER_CHECK)
    return db


def show(value: object) -> str:
    text = "NULL" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_CELL else text[:MAX_CELL] + "..."


def sql(query: Annotated[str, "One SQLite SELECT statement"]) -> str:
    """Run one read-only SQL query (SQLite) on the company's database.

    Tables: products(id, name, category, price_eur, weight_g, stock, reorder_level, warranty_months),
    customers(id, name, country, segment, customer_since),
    orders(id, customer_id, ordered_on, shipped_on, status, discount_percent),
    order_lines(order_id, line, product_id, quantity, unit_price_eur),
    employees(id, name, team, site, hired_on, weekly_hours, leave_days_left, lead_id),
    tickets(id, customer_id, product_id, opened_on, closed_on, severity, cause). Dates are text, YYYY-MM-DD.
    """
    if len(query) > MAX_QUERY:
        raise ToolException(f"the query has {len(query)} characters; at most {MAX_QUERY} are allowed")
    with closing(open_guarded()) as db:
        try:
            cursor = db.execute(query)
            rows = cursor.fetchmany(MAX_ROWS + 1)
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted":
                raise ToolException("the query needs too much work; narrow it down") from error
            raise ToolException(f"SQL error: {error}") from error
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise ToolException(f"SQL error: {error}") from error
    if cursor.description is None:
        raise ToolException("SQL error: only a SELECT is allowed")
    lines = [" | ".join(column[0] for column in cursor.description)]
    lines += [" | ".join(show(value) for value in row) for row in rows[:MAX_ROWS]]
    more = len(rows) > MAX_ROWS
    lines.append(f"(first {MAX_ROWS} rows; there are more)" if more else f"({len(rows)} rows)")
    return "\n".join(lines)
