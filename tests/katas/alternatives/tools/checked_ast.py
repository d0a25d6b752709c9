"""Tokens are checked first, so that Python's own parser may read what is left; a dispatcher that is a coroutine."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Generator

LITERAL = r"""'[^'\\\n\r]*'|"[^"\\\n\r]*\""""
NUMBER = r"(?:\d+\.\d*|\.\d+|0+(?!\d)|[1-9]\d*)(?![\d.])"
TOKENS = re.compile(rf"(?: *({NUMBER}|[-+*/()]))* *", re.ASCII)


def calculate(expression: str) -> str | None:
    if not isinstance(expression, str):
        return None
    if len(expression) > 200:
        return None
    text = expression.replace(",", "").strip(" ")
    parts = re.split(rf"({LITERAL})", text)
    if len(parts) == 5:
        nothing, whole, between, part, rest = parts
        if nothing == "" and between.replace(" ", "") == ".count(" and "count" in between and rest.strip(" ") == ")":
            return str(whole[1:-1].count(part[1:-1]))
        return None
    if not text or not TOKENS.fullmatch(text):
        return None
    tokens = re.findall(rf"{NUMBER}|[-+*/()]", text, re.ASCII)
    for before, after in zip(["(", *tokens], [*tokens, ")"], strict=True):
        if after in ("+", "*", "/", ")") and before in ("+", "-", "*", "/", "("):
            return None  # also **, // and (), which Python would take for something
        if after not in ("+", "-", "*", "/", ")") and before not in ("+", "-", "*", "/", "("):
            return None
    if not _shallow(tokens):
        return None
    try:
        return str(_value(ast.parse(" ".join(tokens), mode="eval").body))
    except (SyntaxError, ZeroDivisionError):
        return None


def _shallow(tokens: list[str]) -> bool:
    minuses = [0]  # open before the next operand, for each open parenthesis
    before = "("
    for token in tokens:
        if token == "-" and before in ("+", "-", "*", "/", "("):
            minuses[-1] += 1
        elif token == "(":
            minuses.append(0)
        elif token == ")":
            minuses.pop()
            if not minuses:
                return False
            minuses[-1] = 0
        elif token not in ("+", "-", "*", "/"):
            if sum(minuses) + len(minuses) - 1 > 50:
                return False
            minuses[-1] = 0
        before = token
    return True


def _value(node: ast.expr) -> int | float:
    todo: list = [node]
    values: list = []
    while todo:
        match todo.pop():
            case ast.Constant(value=value):
                values.append(value)
            case ast.UnaryOp(operand=operand):
                todo += [ast.USub(), operand]
            case ast.BinOp(left=left, op=op, right=right):
                todo += [op, right, left]
            case ast.USub():
                values.append(-values.pop())
            case op:
                right, left = values.pop(), values.pop()
                if isinstance(op, ast.Add):
                    values.append(left + right)
                elif isinstance(op, ast.Sub):
                    values.append(left - right)
                elif isinstance(op, ast.Mult):
                    values.append(left * right)
                else:
                    values.append(left / right)
    return values[0]


class Dispatcher:
    __slots__ = ("_routine", "done")

    def __init__(
        self,
        special: dict[str, int],
        encode: Callable[[str], list[int]],
        decode: Callable[[list[int]], str],
        tool: Callable[[str], str | None] = calculate,
    ) -> None:
        ids = []
        for name in ("bos", "assistant_end", "python_start", "python_end", "output_start", "output_end"):
            try:
                ids.append(special[name])
            except KeyError:
                raise ValueError(f"special should have an id for {name}") from None
        self.done = False
        self._routine = self._watch(ids, encode, decode, tool)
        next(self._routine)

    def _watch(self, ids, encode, decode, tool) -> Generator[tuple[int, int] | None, int, None]:
        bos, stop, start, end, out, out_end = ids
        code: list[int] | None = None
        token = yield None
        while True:
            self.done = self.done or token in (bos, stop)
            result = None
            if token == start:
                code = []
            elif token == end and code is not None:
                result, code = tool(decode(code)), None
            elif code is not None:
                code.append(token)
            step = yield token, 1
            if result is not None:
                for forced in (out, *encode(result), out_end):
                    step = yield forced, 0
            token = step

    def next(self, sampled: int) -> tuple[int, int]:
        if not isinstance(sampled, int):
            raise TypeError(f"sampled should be an int, not {sampled!r}")
        step = self._routine.send(sampled)
        assert step is not None
        return step
