"""Part 09: a calculator that trusts nobody, and the dispatcher that lets a model use it while it writes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

MAX_CHARACTERS = 200
MAX_DEPTH = 50

Number = int | float

_LITERAL = r"""(?:'([^'\\\r\n]*)'|"([^"\\\r\n]*)")"""
_COUNT = re.compile(rf" *{_LITERAL} *\. *count *\( *{_LITERAL} *\) *")
_TOKEN = re.compile(r" *([0-9]+\.[0-9]*|\.[0-9]+|0+(?![0-9])|[1-9][0-9]*|[-+*/()]) *")


def calculate(expression: str) -> str | None:
    """The value of a sum like 12*(3.5-1) or of 'strawberry'.count('r'), as Python would print it.

    Whatever the expression, nothing is executed: it is parsed by the grammar below, and what the grammar does
    not know has no value.

        sum     = product {("+" | "-") product}
        product = operand {("*" | "/") operand}
        operand = number | "-" operand | "(" sum ")"

    Args:
        expression: at most 200 characters; commas are dropped before anything else; no operand inside more
            than 50 open parentheses and minus signs.

    Returns:
        the value, or None for anything that is not of one of the two forms, or divides by zero. Never raises.
    """
    if not isinstance(expression, str) or len(expression) > MAX_CHARACTERS:
        return None
    text = expression.replace(",", "")
    if count := _COUNT.fullmatch(text):
        single, double, part_single, part_double = count.groups()  # of each pair, one is None
        return str((single or double or "").count(part_single or part_double or ""))
    try:
        return str(_Arithmetic(text).value())
    except (_NotArithmeticError, ZeroDivisionError):
        return None


class _NotArithmeticError(Exception):
    pass


class _Arithmetic:
    """A recursive-descent parser that computes as it reads: one method per line of the grammar."""

    def __init__(self, text: str) -> None:
        self.tokens: deque[str] = deque()
        end = 0
        while end < len(text):
            match = _TOKEN.match(text, end)
            if match is None:
                raise _NotArithmeticError
            self.tokens.append(match[1])
            end = match.end()

    def value(self) -> Number:
        value = self.sum(0)
        if self.tokens:
            raise _NotArithmeticError
        return value

    def sum(self, depth: int) -> Number:
        value = self.product(depth)
        while sign := self.take("+", "-"):
            right = self.product(depth)
            value = value + right if sign == "+" else value - right
        return value

    def product(self, depth: int) -> Number:
        value = self.operand(depth)
        while sign := self.take("*", "/"):
            right = self.operand(depth)
            value = value * right if sign == "*" else value / right
        return value

    def operand(self, depth: int) -> Number:
        if depth > MAX_DEPTH:
            raise _NotArithmeticError
        if self.take("-"):
            return -self.operand(depth + 1)
        if self.take("("):
            value = self.sum(depth + 1)
            if not self.take(")"):
                raise _NotArithmeticError
            return value
        if not self.tokens or self.tokens[0] in "+*/)":
            raise _NotArithmeticError
        number = self.tokens.popleft()
        return float(number) if "." in number else int(number)

    def take(self, *wanted: str) -> str | None:
        return self.tokens.popleft() if self.tokens and self.tokens[0] in wanted else None


class Dispatcher:
    """Watches one sequence being sampled, runs the tool when asked to, and forces the result upon it.

    Attributes:
        done: True once assistant_end or bos was appended.
    """

    def __init__(
        self,
        special: dict[str, int],
        encode: Callable[[str], list[int]],
        decode: Callable[[list[int]], str],
        tool: Callable[[str], str | None] = calculate,
    ) -> None:
        """A dispatcher at the beginning of its sequence.

        Args:
            special: ids by name: at least bos, assistant_end, and the four python and output marks.
            encode, decode: the tokenizer's, for the tool's result and for the code.
            tool: from code to its result, or to None, in which case nothing is forced.

        Raises:
            TypeError: special is not a dict, or one of the others cannot be called.
            ValueError: a name is missing in special.
        """
        if not isinstance(special, dict):
            raise TypeError(f"special should be a dict, not {type(special).__name__}")
        names = ("bos", "assistant_end", "python_start", "python_end", "output_start", "output_end")
        if missing := [name for name in names if name not in special]:
            raise ValueError(f"special should hold {', '.join(names)}, but lacks {', '.join(missing)}")
        for name, function in (("encode", encode), ("decode", decode), ("tool", tool)):
            if not callable(function):
                raise TypeError(f"{name} should be a function, not {type(function).__name__}")
        self.done = False
        self._special = {name: special[name] for name in names}
        self._encode, self._decode, self._tool = encode, decode, tool
        self._code: list[int] | None = None  # the tokens since python_start, None outside
        self._forced: deque[int] = deque()

    def next(self, sampled: int) -> tuple[int, int]:
        """Which token to append at this step, and whether the model chose it.

        Args:
            sampled: the token that the model sampled; dropped without effect while forced tokens wait.

        Returns:
            (token, mask): (sampled, 1), or (the next forced token, 0).

        Raises:
            TypeError: sampled is not an int.
        """
        if not isinstance(sampled, int):
            raise TypeError(f"sampled should be an int, not {type(sampled).__name__}")
        if self._forced:
            token, mask = self._forced.popleft(), 0
        else:
            token, mask = sampled, 1
            self._follow(sampled)
        if token in (self._special["assistant_end"], self._special["bos"]):
            self.done = True
        return token, mask

    def _follow(self, token: int) -> None:
        if token == self._special["python_start"]:
            self._code = []
        elif self._code is not None and token == self._special["python_end"]:
            result = self._tool(self._decode(self._code))
            self._code = None
            if result is not None:
                self._forced.append(self._special["output_start"])
                self._forced.extend(self._encode(result))
                self._forced.append(self._special["output_end"])
        elif self._code is not None:
            self._code.append(token)
