"""Two stacks and no recursion; literals found by hand; a dispatcher that names its state."""

from __future__ import annotations

BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3}


def calculate(expression: str) -> str | None:
    if not isinstance(expression, str) or len(expression) > 200:
        return None
    text = expression.replace(",", "").strip(" ")
    if text[:1] in ("'", '"'):
        return _count(text)
    try:
        return str(_sum(text))
    except (ValueError, ZeroDivisionError):
        return None


def _count(text: str) -> str | None:
    found = []
    for parts in ((".", "count", "("), (")",)):
        quote = text[:1]
        end = text.find(quote, 1)
        if quote not in ("'", '"') or end < 0:
            return None
        found.append(text[1:end])
        text = text[end + 1 :]
        for part in parts:
            text = text.lstrip(" ")
            if not text.startswith(part):
                return None
            text = text[len(part) :]
        text = text.lstrip(" ")
    if text or any(c in literal for literal in found for c in "\\\n\r"):
        return None
    return str(found[0].count(found[1]))


def _sum(text: str) -> int | float:
    values: list[int | float] = []
    signs: list[str] = []
    deep = 0
    operand_due = True

    def reduce_() -> None:
        nonlocal deep
        sign = signs.pop()
        right = values.pop()
        if sign == "neg":
            deep -= 1
            values.append(-right)
            return
        left = values.pop()
        match sign:
            case "+":
                values.append(left + right)
            case "-":
                values.append(left - right)
            case "*":
                values.append(left * right)
            case "/":
                values.append(left / right)

    i = 0
    while i < len(text):
        c = text[i]
        if c == " ":
            i += 1
        elif c in "0123456789.":
            end = i
            while end < len(text) and text[end] in "0123456789.":
                end += 1
            number = text[i:end]
            i = end
            if not operand_due or deep > 50:
                raise ValueError
            if "." in number:
                values.append(float(number))  # a second point, or no digit, is a ValueError
            elif number[0] == "0" and number.strip("0"):
                raise ValueError
            else:
                values.append(int(number))
            while signs and signs[-1] == "neg":
                reduce_()
            operand_due = False
        elif c == "(":
            if not operand_due:
                raise ValueError
            signs.append("(")
            deep += 1
            i += 1
        elif c == ")":
            if operand_due:
                raise ValueError
            while signs and signs[-1] != "(":
                reduce_()
            if not signs:
                raise ValueError
            signs.pop()
            deep -= 1
            while signs and signs[-1] == "neg":
                reduce_()
            i += 1
        elif c in "+-*/":
            i += 1
            if operand_due:
                if c != "-":
                    raise ValueError
                signs.append("neg")
                deep += 1
                continue
            while signs and signs[-1] != "(" and BINDING[signs[-1]] >= BINDING[c]:
                reduce_()
            signs.append(c)
            operand_due = True
        else:
            raise ValueError
    if operand_due or "(" in signs:
        raise ValueError
    while signs:
        reduce_()
    return values[0]


class Dispatcher:
    def __init__(self, special: dict[str, int], encode, decode, tool=calculate) -> None:
        for name in ("bos", "assistant_end", "python_start", "python_end", "output_start", "output_end"):
            if name not in special:
                raise ValueError(f"special should hold {name}")
        self.special = dict(special)
        self.encode, self.decode, self.tool = encode, decode, tool
        self.state = "text"
        self.code: list[int] = []
        self.queue: list[int] = []
        self.done = False

    def next(self, sampled: int) -> tuple[int, int]:
        if not isinstance(sampled, int):
            raise TypeError("sampled should be an int")
        if self.state == "forcing":
            token = self.queue[0]
            self.queue = self.queue[1:]
            if not self.queue:
                self.state = "text"
            return token, 0
        s = self.special
        if sampled == s["python_start"]:
            self.state, self.code = "code", []
        elif self.state == "code" and sampled == s["python_end"]:
            result = self.tool(self.decode(list(self.code)))
            self.state = "text"
            if result is not None:
                self.queue = [s["output_start"], *self.encode(result), s["output_end"]]
                self.state = "forcing"
        elif self.state == "code":
            self.code.append(sampled)
        elif sampled == s["assistant_end"] or sampled == s["bos"]:
            self.done = True
        return sampled, 1
