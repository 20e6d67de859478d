"""The tools: right on ordinary input, an error and never a crash or a hang on hostile input."""

import datetime as dt
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.tools import ToolException
from sample_agents import AGENTS, load_agent

TOOLS = {tool.__name__: tool for tool in load_agent("react").TOOLS}
search, sql, calculator, convert, date_add, date_diff = (
    TOOLS[name] for name in ("search", "sql", "calculator", "convert", "date_add", "date_diff")
)


def test_the_corpus_has_forty_documents_and_several_long_ones():
    sources = [path.read_text(encoding="utf-8") for path in (AGENTS / "react_tools" / "data").rglob("*.md")]
    documents = [part for source in sources for part in source.split("\n# ")]
    assert len(documents) >= 40
    assert sum(len(document) > 4300 for document in documents) >= 7


def test_search_returns_the_best_documents_in_full_and_at_most_as_many_as_asked():
    found = search("hotel ceiling, travel and travel expenses in the field", limit=2)
    assert found.startswith("[HB-04] Travel and expenses (2025-03-01)\n")
    assert "If many claims carry the same sentence" in found
    assert found.count("\n[") == 1


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "a AND",
        "NOT (",
        "title:leave*",
        "NEAR(a b, 5)",
        "'; DROP TABLE documents; --",
        "^leave + -x",
        "{a}: b",
    ],
)
def test_search_takes_the_syntax_of_full_text_queries_as_plain_words(query):
    try:
        assert isinstance(search(query), str)
    except ToolException as error:
        assert "no words" in str(error)  # noqa: PT017 - either outcome is right


def test_search_says_when_nothing_matches():
    assert search("xylophone") == "No document matches."


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"query": ""}, "no words"),
        ({"query": "\x00 *** ___"}, "no words"),
        ({"query": "leave " * 1000}, "at most 400"),
        ({"query": "leave", "limit": 0}, "between 1 and 5"),
        ({"query": "leave", "limit": 10**9}, "between 1 and 5"),
    ],
)
def test_search_refuses_what_it_cannot_do(arguments, complaint):
    with pytest.raises(ToolException, match=complaint):
        search(**arguments)


def test_sql_shows_names_rows_and_missing_values():
    assert sql("SELECT id, shipped_on FROM orders WHERE id = 1200") == "id | shipped_on\n1200 | NULL\n(1 rows)"


def test_sql_cuts_long_results_and_says_so():
    lines = sql("SELECT id FROM orders").splitlines()
    assert len(lines) == 42
    assert lines[-1] == "(first 40 rows; there are more)"
    assert len(sql("SELECT printf('%.*c', 5000, 'x')")) < 300


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "UPDATE products SET stock = 0",
        "INSERT INTO customers VALUES ('x', 'x', 'x', 'x', 1)",
        "DROP TABLE orders",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "ATTACH DATABASE '/tmp/written-by-a-tool.db' AS other",
        "VACUUM INTO '/tmp/written-by-a-tool.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA table_info(orders)",
        "SELECT * FROM pragma_table_info('orders')",
        "SELECT load_extension('x')",
        "BEGIN",
        "SELECT 1; DELETE FROM orders",
        "EXPLAIN DELETE FROM orders",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "SELEC 1",
        "SELECT nothing FROM orders",
        "SELECT ?",
        "",
        "-- nothing",
        "SELECT 1 \x00",
        "SELECT '\ud800'",
        "SELECT " + "1 + " * 5000 + "1",
        "SELECT " + "(" * 900 + "1" + ")" * 900,
        "SELECT zeroblob(1000000000)",
    ],
)
def test_sql_refuses_everything_but_reading_and_stays_whole(query):
    with pytest.raises(ToolException):
        sql(query)
    assert "\n260\n" in sql("SELECT COUNT(*) FROM orders")


COUNTING = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "


@pytest.mark.parametrize(
    "query",
    [
        f"{COUNTING} SELECT COUNT(*) FROM n",
        "SELECT COUNT(*) FROM order_lines a, order_lines b, order_lines c, order_lines d",
        f"{COUNTING} SELECT SUM(LENGTH(randomblob(19000))) FROM n",
        f"{COUNTING} SELECT SUM(INSTR(HEX(zeroblob(9000)), HEX(zeroblob(4000 + x % 9)) || 'b')) FROM n",
    ],
)
def test_a_query_without_end_is_stopped(query):
    begin = time.monotonic()
    with pytest.raises(ToolException, match="too much work"):
        sql(query)
    assert time.monotonic() - begin < 120


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(3 + 4) * 2.5", "17.5"),
        ("2 ** 10 - -1", "1025"),
        ("7 // 2 + 7 % 4", "6"),
        ("round(2 / 3, 2)", "0.67"),
        ("max(1, 2, 3) + sqrt(16) + ceil(0.1)", "8"),
        (" 1e3 ", "1000"),
        ("10 / 4", "2.5"),
    ],
)
def test_the_calculator_computes(expression, value):
    assert calculator(expression) == value


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("1 / 0", "division by zero"),
        ("5 % 0", "division by zero"),
        ("9**9**9", "exponent"),
        ("(10**15)**64", "too large"),
        ("10**64", "too large"),
        ("1e400", "too large"),
        ("(-8) ** 0.5", "not a real number"),
        ("1e999 - 1e999", "too large"),
        ("0 ** -1", "division by zero"),
        ("__import__('os').system('true')", "characters"),
        ("sqrt.__class__", "characters"),
        ("sqrt(-1)", "cannot be computed"),
        ("round(1, -1000000000)", "round takes"),
        ("round(1e999)", "too large"),
        ("max()", "cannot be computed"),
        ("max(*(1, 2))", "only numbers"),
        ("exec(1)", "only numbers"),
        ("1 if 1 else 2", "only numbers"),
        ("1, 2", "only numbers"),
        ("lambda: 1", "characters"),
        ("1 +", "cannot be parsed"),
        ("1if 1else 2", "cannot be parsed|only numbers"),
        ("(" * 150, "cannot be parsed"),
        ("", "characters"),
        ("\x001", "characters"),
        ("1" * 201, "at most 200"),
        ("1+" * 100_000 + "1", "at most 200"),
    ],
)
def test_the_calculator_refuses_what_is_not_bounded_arithmetic(expression, complaint):
    with pytest.raises(ToolException, match=complaint):
        calculator(expression)


def test_the_calculator_bears_the_deepest_expression_of_its_length():
    assert calculator("-" * 198 + "1") == "1"


@pytest.mark.parametrize(
    ("value", "unit", "to", "result"),
    [
        (1, "mi", "km", "1.609344"),
        (100, "C", "F", "212"),
        (0, "K", "C", "-273.15"),
        (36, "km/h", "m/s", "10"),
        (1, "bar", "hPa", "1000"),
        (1, "ha", "m2", "10000"),
        (1, "kWh", "J", "3600000"),
    ],
)
def test_units_are_converted(value, unit, to, result):
    assert convert(value, unit, to) == f"{value} {unit} = {result} {to}"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((1, "parsec", "km"), "unknown unit 'parsec'"),
        ((1, "km", "x" * 100_000), "unknown unit"),
        ((1, "km", "kg"), "km is a unit of length, but kg is one of mass"),
        ((float("nan"), "km", "m"), "cannot be converted"),
        ((float("inf"), "km", "m"), "cannot be converted"),
        ((1e308, "km", "mm"), "cannot be converted"),
    ],
)
def test_impossible_conversions_are_refused(arguments, complaint):
    with pytest.raises(ToolException, match=complaint):
        convert(*arguments)


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ({"date": "2025-01-31", "months": 1}, "2025-02-28, a Friday"),
        ({"date": "2024-02-29", "months": -12}, "2023-02-28, a Tuesday"),
        ({"date": "2025-06-13", "working_days": 1}, "2025-06-16, a Monday"),
        ({"date": "2025-06-16", "working_days": -6}, "2025-06-06, a Friday"),
        ({"date": "2025-06-14", "days": 1}, "2025-06-15, a Sunday"),
    ],
)
def test_dates_are_moved(arguments, result):
    assert date_add(**arguments) == result


def test_working_days_agree_with_counting_them_one_by_one():
    start = dt.date(2025, 6, 1)
    for first in range(7):
        for length in range(30):
            begin = start + dt.timedelta(first)
            days = [begin + dt.timedelta(k) for k in range(1, length + 1)]
            working = sum(day.isoweekday() <= 5 for day in days)
            assert date_diff(str(begin), str(begin + dt.timedelta(length))) == (
                f"{length} days ({working} working days)"
            )


@pytest.mark.parametrize(
    "arguments",
    [
        {"date": "yesterday"},
        {"date": "2025-02-30"},
        {"date": "1" * 100_000},
        {"date": ""},
        {"date": "2025-01-01", "days": 10**12},
        {"date": "2025-01-01", "days": 10**400},
        {"date": "2025-01-01", "months": 10**9},
        {"date": "2025-01-01", "months": -(10**30)},
        {"date": "2025-01-01", "working_days": 10**9},
        {"date": "9999-12-31", "working_days": 3},
    ],
)
def test_impossible_dates_are_refused(arguments):
    with pytest.raises(ToolException):
        date_add(**arguments)


def test_tools_give_the_same_results_from_many_threads():
    queries = [f"SELECT COUNT(*), SUM(quantity) FROM order_lines WHERE line = {n % 4 + 1}" for n in range(60)]
    words = ["annual leave", "gateway outage", "soil probes", "calibration"] * 15
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(sql, queries)) == [sql(query) for query in queries]
        assert list(pool.map(search, words)) == [search(word) for word in words]


def test_sqlite_offers_full_text_search_and_serialising():
    with_fts = sqlite3.connect(":memory:")
    with_fts.execute("CREATE VIRTUAL TABLE t USING fts5(a)")
    assert with_fts.serialize()
    with_fts.close()
