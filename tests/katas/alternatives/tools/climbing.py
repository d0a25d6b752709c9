"""Precedence climbing on a position in the text; errors that are TypeErrors too; each token queued with its mask."""

import re


class BadInput(ValueError, TypeError):
    pass


class NoValue(BadInput):
    pass


def calculate(expression: str) -> str | None:
    try:
        if len(expression) > 200:
            return None
        text = expression.replace(",", "")
        return _count(text) or str(_Reader(text).everything())
    except (NoValue, ZeroDivisionError, TypeError, AttributeError):
        return None


def _count(text):
    single, double = r"'([^'\\\n\r]*)'", r'"([^"\\\n\r]*)"'
    for first in (single, double):
        for second in (single, double):
            if found := re.fullmatch(rf" *{first} *[.] *count *[(] *{second} *[)] *", text):
                whole, part = found.groups()
                return str((len(whole) + 1) if part == "" else len(whole.split(part)) - 1)
    return None


class _Reader:
    POWER = {"+": 10, "-": 10, "*": 20, "/": 20}  # noqa: RUF012

    def __init__(self, text):
        self.text, self.at = text, 0

    def peek(self):
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1
        return self.text[self.at : self.at + 1]

    def everything(self):
        value = self.climb(0, 50)
        if self.peek():
            raise NoValue(self.text[self.at :])
        return value

    def climb(self, lowest, levels_left):
        value = self.operand(levels_left)
        while (power := self.POWER.get(self.peek(), -1)) > lowest:
            sign = self.peek()
            self.at += 1
            other = self.climb(power, levels_left)
            if sign == "+":
                value += other
            elif sign == "-":
                value -= other
            elif sign == "*":
                value *= other
            else:
                value /= other
        return value

    def operand(self, levels_left):
        if levels_left < 0:
            raise NoValue
        first = self.peek()
        if first == "-":
            self.at += 1
            return -1 * self.operand(levels_left - 1)
        if first == "(":
            self.at += 1
            value = self.climb(0, levels_left - 1)
            if self.peek() != ")":
                raise NoValue
            self.at += 1
            return value
        digits = re.compile("[0-9.]*").match(self.text, self.at)[0]
        self.at += len(digits)
        if digits in ("", ".") or digits.count(".") > 1:
            raise NoValue
        if "." in digits:
            return float(digits)
        if digits != "0" and digits[0] == "0":
            raise NoValue
        return int(digits)


class Dispatcher:
    def __init__(self, special, encode, decode, tool=calculate):
        lacking = {"bos", "assistant_end", "python_start", "python_end", "output_start", "output_end"} - special.keys()
        if lacking:
            raise BadInput(f"special should hold ids for {lacking} too")
        self.__dict__.update(special)
        self.codec, self.tool = (encode, decode), tool
        self.steps, self.collecting, self.done = [], None, False

    def next(self, sampled):
        if not isinstance(sampled, int):
            raise BadInput("sampled: an int is due")
        if not self.steps:
            self.steps = [(sampled, True)] + [(token, False) for token in self.consequences(sampled)]
        token, mask = self.steps.pop(0)
        self.done |= token in (self.bos, self.assistant_end)
        return token, mask

    def consequences(self, sampled):
        encode, decode = self.codec
        if sampled == self.python_start:
            self.collecting = ()
        elif self.collecting is not None:
            if sampled != self.python_end:
                self.collecting += (sampled,)
            else:
                code, self.collecting = list(self.collecting), None
                output = self.tool(decode(code))
                if output is not None:
                    yield self.output_start
                    yield from encode(output)
                    yield self.output_end
