"""A list of tokens in which the innermost parentheses are replaced by their value until none is left."""

import re
from collections import deque

TOKEN = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)|[-+*/()]|.", re.DOTALL)
COUNT = re.compile(
    r"""\ *(['"])((?:(?!\1)[^\\\n\r])*)\1\ *\.\ *count\ *\(\ *(['"])((?:(?!\3)[^\\\n\r])*)\3\ *\)\ *""", re.VERBOSE
)


class Refused(ValueError):
    pass


def calculate(expression: str) -> str | None:
    if type(expression) is not str or len(expression) >= 201:
        return None
    text = "".join(expression.split(","))
    count = COUNT.fullmatch(text)
    if count is not None:
        return f"{count[2].count(count[4])}"
    try:
        tokens = [read(token) for token in TOKEN.findall(text) if token != " "]
        check_depth(tokens)
        while "(" in tokens:
            close = tokens.index(")")
            start = max(i for i in range(close) if tokens[i] == "(")
            tokens[start : close + 1] = [fold(tokens[start + 1 : close])]
        return repr(fold(tokens))
    except (ValueError, ZeroDivisionError):
        return None


def read(token):
    if token in ("+", "-", "*", "/", "(", ")"):
        return token
    if token.isascii() and token.isdigit():
        if len(token) > 1 and token.startswith("0") and set(token) != {"0"}:
            raise Refused
        return int(token)
    if re.fullmatch(r"[0-9.]+", token):
        return float(token)
    raise Refused


def check_depth(tokens):
    open_ = []  # what is open, in order
    before = "("
    for token in tokens:
        if token == "(":
            if before == ")" or not isinstance(before, str):
                raise Refused
            open_.append("(")
        elif token == "-" and isinstance(before, str) and before != ")":
            open_.append("-")
        elif token == ")":
            while open_ and open_[-1] == "-":
                open_.pop()
            if not open_:
                raise Refused
            open_.pop()
            while open_ and open_[-1] == "-":
                open_.pop()
        elif not isinstance(token, str):
            if len(open_) > 50 or before == ")":
                raise Refused
            while open_ and open_[-1] == "-":
                open_.pop()
        before = token


def fold(flat):
    operands, signs = [], []
    negative = False
    due = True
    for token in flat:
        if due:
            if token == "-":
                negative = not negative
                continue
            if isinstance(token, str):
                raise Refused
            operands.append(-token if negative else token)
            negative, due = False, False
        else:
            if token not in ("+", "-", "*", "/"):
                raise Refused
            signs.append(token)
            due = True
    if due:
        raise Refused
    for level in ("*/", "+-"):
        i = 0
        while i < len(signs):
            if signs[i] in level:
                a, b = operands[i], operands[i + 1]
                sign = signs.pop(i)
                operands[i : i + 2] = [
                    a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b
                ]
            else:
                i += 1
    return operands[0]


class Dispatcher:
    def __init__(self, special: dict[str, int], encode, decode, tool=calculate):
        needed = {"bos", "assistant_end", "python_start", "python_end", "output_start", "output_end"}
        if not needed.issubset(special):
            raise ValueError(f"special: a dict of ids, which should also hold {sorted(needed - set(special))}")
        self._stop = {special["bos"], special["assistant_end"]}
        self._start, self._end = special["python_start"], special["python_end"]
        self._marks = special["output_start"], special["output_end"]
        self._encode, self._decode, self._tool = encode, decode, tool
        self._history, self._forced = [], deque()

    @property
    def done(self):
        return any(token in self._stop for token, _ in self._history)

    def next(self, sampled: int):
        if isinstance(sampled, float):
            raise TypeError("sampled should be the int id of a token, not a float")
        step = (self._forced.popleft(), 0) if self._forced else (sampled, 1)
        self._history.append(step)
        if step == (self._end, 1):
            self._ask()
        return step

    def _ask(self):
        """Look back for the last start that no end has closed."""
        code = []
        for token, mask in reversed(self._history[:-1]):
            if token == self._end and mask:
                return
            if token == self._start and mask:
                break
            code.insert(0, token)
        else:
            return
        result = self._tool(self._decode(code))
        if result is not None:
            self._forced.extend((self._marks[0], *self._encode(result), self._marks[1]))
