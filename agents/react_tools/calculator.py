"""Arithmetic without `eval`: the expression is parsed, and only what is listed here is computed."""

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Annotated

from langchain_core.tools import ToolException

MAX_LENGTH = 200
MAX_EXPONENT = 64
MAX_RESULT = 1e15
MAX_DIGITS = 12

Number = int | float


def rounded(value: Number, digits: Number = 0) -> Number:
    if digits != int(digits) or not 0 <= digits <= MAX_DIGITS:
        raise ToolException(f"round takes 0 to {MAX_DIGITS} digits")
    return round(value, int(digits)) if digits else round(value)


BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "max": max,
    "min": min,
    "round": rounded,
    "sqrt": math.sqrt,
}


def evaluate(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            result: Number = value
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            result = UNARY[type(op)](evaluate(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            a, b = evaluate(left), evaluate(right)
            if isinstance(op, ast.Pow) and abs(b) > MAX_EXPONENT:
                raise ToolException(f"the exponent {b} is too large; at most {MAX_EXPONENT} is allowed")
            result = BINARY[type(op)](a, b)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            result = FUNCTIONS[name](*(evaluate(arg) for arg in args))
        case _:
            allowed = "numbers, + - * / // % **, parentheses and " + ", ".join(FUNCTIONS)
            raise ToolException(f"only {allowed} are understood")
    if isinstance(result, complex) or not abs(result) <= MAX_RESULT:
        raise ToolException("the result is too large, or not a real number")
    return result


def calculator(expression: Annotated[str, "An arithmetic expression, for example (3 + 4) * 2.5"]) -> str:
    """Compute an arithmetic expression."""
    if len(expression) > MAX_LENGTH:
        raise ToolException(f"the expression has {len(expression)} characters; at most {MAX_LENGTH} are allowed")
    if not re.fullmatch(r"[0-9a-z+\-*/%().,\s]+", expression):
        raise ToolException("the expression has characters that do not belong to arithmetic")
    try:
        value = evaluate(ast.parse(expression.strip(), mode="eval").body)
    except ZeroDivisionError as error:
        raise ToolException("division by zero") from error
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ToolException("the expression cannot be parsed") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ToolException(f"cannot be computed: {error}") from error
    return str(value) if isinstance(value, int) else f"{value:.12g}"
