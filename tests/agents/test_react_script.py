"""The script is right: its tool calls run, its answers follow from what they return, its tags are true."""

import csv
import datetime as dt
import functools
import math
import re
from collections import Counter

import pytest
from langchain_core.tools import ToolException
from sample_agents import AGENTS, figures, load_agent, load_script, load_tasks

TASKS = load_tasks("react")
SCRIPT = load_script("react")
TAGS = {"short", "parallel", "tool-error", "long-context", "step-limit"}


def tagged(tag: str) -> list[str]:
    return sorted(name for name, task in TASKS.items() if tag in task["tags"])


@functools.cache
def outputs(task: str) -> tuple[str | ToolException, ...]:
    tools = {tool.__name__: tool for tool in load_agent("react").TOOLS}
    results: list[str | ToolException] = []
    for step in SCRIPT[task]:
        for call in step.get("tool_calls", []):
            try:
                results.append(tools[call["name"]](**call["arguments"]))
            except ToolException as error:
                results.append(error)
    return tuple(results)


def texts(task: str) -> list[str]:
    return [result for result in outputs(task) if isinstance(result, str)]


def rows(table: str) -> list[dict[str, str]]:
    with (AGENTS / "react_tools" / "data" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tasks_and_script_agree():
    assert set(TASKS) == set(SCRIPT)
    assert len(TASKS) >= 32
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in TASKS)
    assert all(set(task) == {"id", "input", "tags", "expect"} for task in TASKS.values())
    assert {tag for task in TASKS.values() for tag in task["tags"]} == TAGS
    assert all(task["expect"] for task in TASKS.values())


def test_chains_have_two_to_eight_calls_and_four_to_five_on_average():
    lengths = Counter(len(calls) for calls in SCRIPT.values())
    assert set(lengths) == set(range(2, 9))
    assert 4 <= sum(n * count for n, count in lengths.items()) / len(SCRIPT) <= 5


def test_every_call_is_made_in_the_model_node_with_a_plausible_length():
    for call in (call for calls in SCRIPT.values() for call in calls):
        assert call["place"] == "model"
        assert call["content"]
        assert 8 <= call["output_tokens"] <= 220


@pytest.mark.parametrize("task", sorted(TASKS))
def test_only_the_tasks_tagged_so_have_a_tool_that_fails_and_all_recover(task):
    failed = [isinstance(result, ToolException) for result in outputs(task)]
    assert any(failed) == ("tool-error" in TASKS[task]["tags"])
    assert not failed[-1]


@pytest.mark.parametrize("task", sorted(set(TASKS) - set(tagged("step-limit"))))
def test_each_answer_follows_from_what_the_tools_returned(task):
    *steps, last = SCRIPT[task]
    assert all(step["tool_calls"] for step in steps)
    assert not last.get("tool_calls")
    known = {figure for text in texts(task) for figure in figures(text)}
    for expected in TASKS[task]["expect"]:
        assert expected in last["content"]
        for figure in figures(expected):
            # A rounded answer may leave out the last digits of what the tool returned.
            assert any(figure == k or ("." in figure and k.startswith(figure)) for k in known)
        if not figures(expected):
            assert any(expected in text for text in texts(task))


@pytest.mark.parametrize(("tag", "least"), [("parallel", 4), ("tool-error", 3), ("long-context", 4)])
def test_there_are_enough_tasks_of_each_kind(tag, least):
    assert len(tagged(tag)) >= least


@pytest.mark.parametrize("task", sorted(TASKS))
def test_exactly_the_tasks_tagged_parallel_have_a_step_with_several_tool_calls(task):
    widest = max(len(step.get("tool_calls", [])) for step in SCRIPT[task])
    assert widest <= 3
    assert (widest >= 2) == ("parallel" in TASKS[task]["tags"])


@pytest.mark.parametrize("task", sorted(TASKS))
def test_exactly_the_tasks_tagged_long_context_read_more_than_4000_characters(task):
    assert (sum(map(len, texts(task))) > 4000) == ("long-context" in TASKS[task]["tags"])


@pytest.mark.parametrize("task", sorted(TASKS))
def test_exactly_the_tasks_tagged_step_limit_never_stop_calling_tools(task):
    endless = len(SCRIPT[task]) == 8 and all(step.get("tool_calls") for step in SCRIPT[task])
    assert endless == ("step-limit" in TASKS[task]["tags"])


@pytest.mark.parametrize("task", tagged("short"))
def test_a_short_task_is_one_tool_call_and_the_answer(task):
    assert [len(step.get("tool_calls", [])) for step in SCRIPT[task]] == [1, 0]


# The answers once more, from the CSV files with plain Python: neither SQLite nor the tools take part.


def order_value(order: str) -> int:
    lines = [line for line in rows("order_lines") if line["order_id"] == order]
    return sum(int(line["quantity"]) * int(line["unit_price_eur"]) for line in lines)


def order_kg(order: str) -> float:
    grams = {product["id"]: int(product["weight_g"]) for product in rows("products")}
    lines = [line for line in rows("order_lines") if line["order_id"] == order]
    return sum(int(line["quantity"]) * grams[line["product_id"]] for line in lines) / 1000


def price(product: str) -> int:
    return next(int(row["price_eur"]) for row in rows("products") if row["id"] == product)


def cancelled_orders():
    return [f"{sum(order['status'] == 'cancelled' for order in rows('orders'))} orders"]


def managing_director_discounts():
    return ["20 percent", f"{sum(int(order['discount_percent']) > 20 for order in rows('orders'))} orders"]


def refill_stock():
    missing = [(max(0, int(p["reorder_level"]) - int(p["stock"])), p) for p in rows("products")]
    assert any(count and p["name"] == "Battery pack 12 Ah" for count, p in missing)
    return [f"{sum(count * int(p['price_eur']) for count, p in missing)} EUR", "Battery pack 12 Ah"]


def invoice_due_city():
    order = next(order for order in rows("orders") if order["id"] == "1254")
    customer = next(c for c in rows("customers") if c["id"] == order["customer_id"])
    days = 45 if customer["segment"] == "municipality" else 30
    return [str(dt.date.fromisoformat(order["shipped_on"]) + dt.timedelta(days))]


def support_leave_average():
    left = [int(person["leave_days_left"]) for person in rows("employees") if person["team"] == "support"]
    return [f"{sum(left) / len(left)} days"]


def open_severity_one():
    return [f"{sum(t['severity'] == '1' and not t['closed_on'] for t in rows('tickets'))} open"]


def recall_threshold():
    gone = {order["id"] for order in rows("orders") if order["status"] == "cancelled"}
    lines = [x for x in rows("order_lines") if x["product_id"] == "P20" and x["order_id"] not in gone]
    return [f"{math.ceil(0.95 * sum(int(line['quantity']) for line in lines))} packs"]


def order_1187_shipping():
    assert order_value("1187") > 2500
    return [f"{order_kg('1187')} kg", "pallet"]


def longest_support_leave():
    team = [person for person in rows("employees") if person["team"] == "support"]
    first = min(team, key=lambda person: person["hired_on"])
    hired = dt.date.fromisoformat(first["hired_on"])
    years = 2025 - hired.year - ((hired.month, hired.day) > (6, 30))
    return [f"{min(31, 27 + years // 5)} days", first["name"]]


def poland_share():
    country = {customer["id"]: customer["country"] for customer in rows("customers")}
    of_2024 = [country[o["customer_id"]] for o in rows("orders") if o["ordered_on"].startswith("2024")]
    return [f"{of_2024.count('Poland') / len(of_2024) * 100:.2f} percent"]


def expense_deadlines():
    back = dt.date(2025, 5, 28)
    return [str(back + dt.timedelta(30)), str(back + dt.timedelta(90))]


def outage_credits():
    return [f"{11400 + 6200} EUR", f"{dt.date(2025, 6, 11).toordinal() - dt.date(2024, 11, 18).toordinal()} days"]


def lightning_share():
    names = {product["id"]: product["name"] for product in rows("products")}
    struck = [names[t["product_id"]] for t in rows("tickets") if t["cause"] == "lightning"]
    (most, count), (_, second) = Counter(struck).most_common(2)
    assert count > second
    return [f"{len(struck) / len(rows('tickets')) * 100:.2f} percent", most]


def logger_memory():
    return [f"{8_000_000 // (40 * 4 + 12) // (24 * 6)} days"]


def mast_pallet():
    masts = 600_000 // next(int(p["weight_g"]) for p in rows("products") if p["id"] == "P18")
    return [f"{masts} masts", f"{masts * price('P18')} EUR"]


def irrigation_acres():
    zones = math.ceil(31 * 0.40468564224 / 5)
    return [f"{3 * zones} probes", f"{3 * zones * price('P04')} EUR"]


def best_customer():
    kept = [order for order in rows("orders") if order["status"] != "cancelled"]
    totals: Counter[str] = Counter()
    for order in kept:
        totals[order["customer_id"]] += order_value(order["id"])
    (best, total), _ = totals.most_common(2)
    name = next(customer["name"] for customer in rows("customers") if customer["id"] == best)
    approved = [o for o in kept if o["customer_id"] == best and int(o["discount_percent"]) > 10]
    return [name, f"{total} EUR", f"{len(approved)} orders"]


def express_calibration():
    done = dt.date(2025, 6, 12)
    for _ in range(5):
        done += dt.timedelta(3 if done.isoweekday() == 5 else 1)
    return [f"{4 * (price('P24') + 90)} EUR", str(done), str(done.replace(year=done.year + 2))]


def order_1251_check():
    order = next(order for order in rows("orders") if order["id"] == "1251")
    value = order_value("1251") * (100 - int(order["discount_percent"])) // 100
    return [f"{value} EUR", f"{order_kg('1251')} kg", str(dt.date(2025, 7, 1) + dt.timedelta(45))]


def half_year_figures():
    orders = [order for order in rows("orders") if order["ordered_on"] >= "2025"]
    kept = [order for order in orders if order["status"] != "cancelled"]
    revenue = sum(order_value(order["id"]) for order in kept)
    tickets = [t for t in rows("tickets") if "2025-01-01" <= t["opened_on"] <= "2025-06-30"]
    cancelled = len(orders) - len(kept)
    return [f"{len(orders)} orders", f"{cancelled} cancelled", f"{revenue} EUR", f"{len(tickets)} tickets"]


COMPUTED = [
    cancelled_orders,
    managing_director_discounts,
    refill_stock,
    invoice_due_city,
    support_leave_average,
    open_severity_one,
    recall_threshold,
    order_1187_shipping,
    longest_support_leave,
    poland_share,
    expense_deadlines,
    outage_credits,
    lightning_share,
    logger_memory,
    mast_pallet,
    irrigation_acres,
    best_customer,
    express_calibration,
    order_1251_check,
    half_year_figures,
]


@pytest.mark.parametrize("compute", COMPUTED, ids=lambda function: function.__name__)
def test_an_independent_computation_gives_the_same_answer(compute):
    assert compute() == TASKS[compute.__name__.replace("_", "-")]["expect"]
