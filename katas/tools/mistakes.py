"""Wrong calculators and dispatchers that people write, each with what a good teacher would say.

Imports no torch, and so nothing of the worked answer: the two right versions below, `calculate` and `_Dispatcher`, are
made so that one step of them can be exchanged.
"""

# ruff: noqa: N801
from __future__ import annotations

import ast
import operator
import re
import warnings

Number = int | float

DIGITS = r"[0-9]+\.[0-9]*|\.[0-9]+|0+(?![0-9])|[1-9][0-9]*"
LITERAL = r"""(?:'(?P<a{0}>[^'\\\r\n]*)'|"(?P<b{0}>[^"\\\r\n]*)")"""
COUNT = rf" *{LITERAL.format(1)} *\. *count *\( *{LITERAL.format(2)} *\) *"
SUMS = {"+": operator.add, "-": operator.sub}
PRODUCTS = {"*": operator.mul, "/": operator.truediv}


class _NoValueError(Exception):
    pass


def _without_commas(text: str) -> str:
    return text.replace(",", "")


def _value(expression: str, **exchanged: object) -> str | None:
    return _Calculator(**exchanged).value(expression)


class _Calculator:
    """A right calculator; what is passed by name takes the place of an attribute or a method."""

    characters = 200
    depth = 50
    depth_of = {"-": 1, "(": 1}  # noqa: RUF012
    space = " "
    digits = DIGITS
    levels = (SUMS, PRODUCTS)  # from the loosest to the tightest
    signs = {"-": operator.neg}  # noqa: RUF012
    right_to_left = False
    count = COUNT

    def __init__(self, **exchanged: object) -> None:
        vars(self).update(exchanged)
        known = sorted(
            {*self.signs, *(sign for level in self.levels for sign in level), "(", ")"}, key=len, reverse=True
        )
        self.token = re.compile(f"{self.space}*({self.digits}|{'|'.join(map(re.escape, known))}){self.space}*")

    def value(self, expression: str) -> str | None:
        if not isinstance(expression, str) or self.length(expression) > self.characters:
            return None
        if match := re.fullmatch(self.count, self.cleaned_count(expression)):
            text = match["a1"] if match["b1"] is None else match["b1"]
            part = match["a2"] if match["b2"] is None else match["b2"]
            return self.shown(self.counted(text, part))
        try:
            self.tokens = self.scanned(self.cleaned(expression))
            value = self.level(0, 0)
            if self.tokens:
                raise _NoValueError
            return self.shown(value)
        except _NoValueError:
            return None
        except ZeroDivisionError:
            return self.divided_by_zero()

    length = staticmethod(len)
    cleaned = cleaned_count = staticmethod(_without_commas)
    shown = staticmethod(str)
    counted = staticmethod(str.count)

    def divided_by_zero(self) -> str | None:
        return None

    def scanned(self, text: str) -> list[str]:
        """The tokens, the first one last."""
        tokens, end = [], 0
        while end < len(text):
            match = self.token.match(text, end)
            if match is None:
                raise _NoValueError
            tokens.append(match[1])
            end = match.end()
        return tokens[::-1]

    def level(self, i: int, depth: int) -> Number:
        if i == len(self.levels):
            return self.operand(depth)
        value = self.level(i + 1, depth)
        while self.tokens and self.tokens[-1] in self.levels[i]:
            operation = self.levels[i][self.tokens.pop()]
            value = operation(value, self.level(i if self.right_to_left else i + 1, depth))
        return value

    def operand(self, depth: int) -> Number:
        if depth > self.depth or not self.tokens:
            raise _NoValueError
        token = self.tokens.pop()
        if token in self.signs:
            return self.signs[token](self.operand(depth + self.depth_of.get(token, 0)))
        if token == "(":
            value = self.level(0, depth + self.depth_of["("])
            if not self.tokens or self.tokens.pop() != ")":
                raise _NoValueError
            return value
        if not re.fullmatch(self.digits, token):
            raise _NoValueError
        return self.number(token)

    @staticmethod
    def number(token: str) -> Number:
        return float(token) if "." in token else int(token)


def calculate(expression: str) -> str | None:
    return _value(expression)


# ------------------------------------------------------------------------------------------ calculate: reading


def calculate__commas_kept_in_literals(expression: str) -> str | None:
    """You drop the commas of sums only. The contract drops them everywhere, inside the literals of a count as well."""
    return _value(expression, cleaned_count=str)


def calculate__commas_kept(expression: str) -> str | None:
    """You leave the commas in. Models write 1,234 as people do: drop every comma before you look at anything else."""
    return _value(expression, cleaned=str, cleaned_count=str)


def calculate__length_without_commas(expression: str) -> str | None:
    """You measure after dropping the commas. The 200 characters are counted as given."""
    return _value(expression, length=lambda text: len(_without_commas(text)))


def calculate__any_length(expression: str) -> str | None:
    """You read an expression of any length. More than 200 characters have no value."""
    return _value(expression, characters=10**9)


def calculate__any_depth(expression: str) -> str | None:
    """You go as deep as you are led, one day deeper than Python's stack. Inside more than 50 there is no value."""
    return _value(expression, depth=10**9)


def calculate__minus_is_not_deep(expression: str) -> str | None:
    """You count open parentheses but not open minus signs: a row of those leads just as deep. The limit is on both."""
    return _value(expression, depth_of={"(": 1})


def calculate__all_signs_are_deep(expression: str) -> str | None:
    """You count all parentheses and minus signs of the expression. What was closed before is not open any more."""
    if isinstance(expression, str) and not re.fullmatch(COUNT, _without_commas(expression)):
        before = re.findall(r"[-+*/(] *-|^ *-|\(", _without_commas(expression))
        if len(before) > 50:
            return None
    return _value(expression)


def calculate__any_white_space(expression: str) -> str | None:
    """You allow tabs, newlines or other white space (as \\s, strip(), split() and isspace() do). Only the space may."""
    return _value(expression, space=r"\s", count=COUNT.replace(" *", r"\s*"))


def calculate__stripped(expression: str) -> str | None:
    """You call strip(), which also takes newlines and tabs off the ends. Only the space may stand there."""
    return _value(expression.strip()) if isinstance(expression, str) and len(expression) <= 200 else None


def calculate__spaces_removed(expression: str) -> str | None:
    """You remove all spaces first. That turns "1 2", which is nothing, into 12, and changes what stands in literals."""
    if not isinstance(expression, str) or len(expression) > 200:
        return None
    return _value(expression.replace(" ", ""))


def calculate__no_space_at_the_ends(expression: str) -> str | None:
    """You find no value where a space stands before or after the expression."""
    if isinstance(expression, str) and expression != expression.strip(" "):
        return None
    return _value(expression)


def calculate__foreign_digits(expression: str) -> str | None:
    """You take every digit of Unicode, as \\d, isdecimal() and int() do. Only 0 to 9 are digits here."""
    return _value(expression, digits=r"\d+\.\d*|\.\d+|0+(?!\d)|[1-9]\d*")


def calculate__leading_zeros(expression: str) -> str | None:
    """You read 007 as 7, as int() does. As a literal of Python it is an error, and so has no value."""
    return _value(expression, digits=r"[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+")


def calculate__read_by_float(expression: str) -> str | None:
    """You let float() and int() say what a number is, and they know more than the contract: 1e5, 1_000."""
    return _value(
        expression,
        digits=r"(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?",
        number=lambda token: float(token) if re.search("[.eE]", token) else int(token),
    )


def calculate__digits_on_both_sides(expression: str) -> str | None:
    """You want a digit on either side of the point. .5 and 2. are numbers too."""
    return _value(expression, digits=r"[0-9]+\.[0-9]+|0+(?![0-9])|[1-9][0-9]*")


# ------------------------------------------------------------------------------------------ calculate: computing


def calculate__left_to_right(expression: str) -> str | None:
    """You go from left to right whatever the signs: products come before sums."""
    return _value(expression, levels=(SUMS | PRODUCTS,))


def calculate__right_to_left(expression: str) -> str | None:
    """You take equals from the right: 10-4-3 became 10-(4-3). They are taken from the left."""
    return _value(expression, right_to_left=True)


def calculate__all_floats(expression: str) -> str | None:
    """You read whole numbers as floats. 1+2 is 3, not 3.0, and beyond 2^53 floats leave whole numbers out."""
    return _value(expression, number=float)


def calculate__even_quotients_as_ints(expression: str) -> str | None:
    """You divide whole numbers that divide evenly into whole numbers. In Python / gives a float, always."""

    def divided(a: Number, b: Number) -> Number:
        return a // b if isinstance(a, int) and isinstance(b, int) and a % b == 0 else a / b

    return _value(expression, levels=(SUMS, {"*": operator.mul, "/": divided}))


def calculate__whole_floats_as_ints(expression: str) -> str | None:
    """You print a float without its .0. Python prints 6/2 as 3.0: print what Python prints."""
    return _value(expression, shown=lambda value: f"{value:.0f}" if value % 1 == 0 else str(value))


def calculate__rounded(expression: str) -> str | None:
    """You round. 0.1+0.2 is 0.30000000000000004 in Python, and the contract wants what Python prints."""
    return _value(expression, shown=lambda value: str(round(value, 10)))


def calculate__quotient_of_floats(expression: str) -> str | None:
    """You turn both numbers into floats before you divide. For large whole numbers that rounds twice."""
    divided = {"*": operator.mul, "/": lambda a, b: float(a) / float(b)}
    return _value(expression, levels=(SUMS, divided))


def calculate__minus_from_zero(expression: str) -> str | None:
    """You compute -x as 0 - x. For 0.0 that loses the sign: Python's -0.0 is -0.0."""
    return _value(expression, signs={"-": lambda value: 0 - value})


def calculate__one_minus(expression: str) -> str | None:
    """You allow one minus before an operand. It may be repeated: --5 is 5."""
    if isinstance(expression, str) and re.search(r"(^|[-+*/(]) *- *-", _without_commas(expression)):
        return None if re.fullmatch(COUNT, _without_commas(expression)) is None else _value(expression)
    return _value(expression)


def calculate__minus_only_in_front(expression: str) -> str | None:
    """You know a minus only where a sum begins. It may stand before any operand: 2*-3 is -6."""
    if isinstance(expression, str) and re.search(r"[-+*/] *-", _without_commas(expression)):
        return None if re.fullmatch(COUNT, _without_commas(expression)) is None else _value(expression)
    return _value(expression)


def calculate__minus_takes_all(expression: str) -> str | None:
    """Your minus takes all that follows it, so that -2-3 became -(2-3). It belongs to the operand after it alone."""

    class Greedy(_Calculator):
        def operand(self, depth: int) -> Number:
            if depth <= self.depth and self.tokens and self.tokens[-1] == "-":
                self.tokens.pop()
                return -self.level(0, depth + 1)
            return super().operand(depth)

    return Greedy().value(expression)


def calculate__unary_plus(expression: str) -> str | None:
    """You allow a plus before an operand. The contract knows only the minus there."""
    return _value(expression, signs={"-": operator.neg, "+": operator.pos}, depth_of={"-": 1, "(": 1, "+": 1})


def calculate__powers(expression: str) -> str | None:
    """You compute powers. 9**9**9**9 then runs until the machine is full: ** has no value."""

    def power(a: Number, b: Number) -> Number:
        if b != b or abs(b) > 9:  # here we are kinder than the real thing
            raise _NoValueError
        result = a**b
        if isinstance(result, complex):
            raise _NoValueError
        return result

    return _value(expression, levels=(SUMS, PRODUCTS, {"**": power}))


def calculate__floor_and_modulo(expression: str) -> str | None:
    """You know // and %. The contract has four signs, + - * and /, and no more."""
    return _value(expression, levels=(SUMS, PRODUCTS | {"//": operator.floordiv, "%": operator.mod}))


def calculate__division_by_zero_raises(expression: str) -> str | None:
    """A division by zero gets out of your calculator as an exception. It has no value: None."""

    def divided_by_zero() -> str | None:
        raise ZeroDivisionError("division by zero")

    return _value(expression, divided_by_zero=divided_by_zero)


def calculate__division_by_zero_is_inf(expression: str) -> str | None:
    """You give a division by zero a value, such as inf or an error message. It has none: None."""
    return _value(expression, divided_by_zero=lambda: "inf")


def calculate__zero_is_no_value(expression: str) -> str | None:
    """You return None where the value is 0. `if value` asks whether it is 0, not whether there is one."""
    value = _value(expression)
    return None if value is None or float(value) == 0 else value


def calculate__returns_a_number(expression: str) -> str | None:
    """You return the number itself. The result is a str: the value as Python would print it."""
    value = _value(expression)
    if value is None:
        return None
    return float(value) if re.search("[.en]", value) else int(value)  # type: ignore[return-value]


def calculate__other_types_raise(expression: str) -> str | None:
    """You raise on what is not a str. Nothing makes the calculator raise: such a thing has no value, None."""
    expression.split("'")
    return _value(expression)


def calculate__eval_behind_a_filter(expression: str) -> str | None:
    """You let eval compute what passes a filter of characters. Unary plus and // pass it too: write a parser."""
    if not isinstance(expression, str) or len(expression) > 200:
        return None
    text = _without_commas(expression)
    if re.fullmatch(COUNT, text):
        return _value(expression)
    if set(text) - set("0123456789.+-*/() ") or "**" in text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(eval(text.strip(), {"__builtins__": {}}))
    except Exception:
        return None


def calculate__walks_pythons_tree(expression: str) -> str | None:
    """You let ast.parse read. It knows more than the contract: 1_000, 0x10, 1e5, True, comments, 'a' 'b'."""
    if not isinstance(expression, str) or len(expression) > 200:
        return None
    operations = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}

    def walked(node: ast.AST, depth: int) -> Number:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and depth <= 50:
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -walked(node.operand, depth + 1)
        if isinstance(node, ast.BinOp) and type(node.op) in operations:
            return operations[type(node.op)](walked(node.left, depth), walked(node.right, depth))
        raise _NoValueError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_without_commas(expression).strip(" "), mode="eval").body
        match tree:
            case ast.Call(
                func=ast.Attribute(value=ast.Constant(value=str(text)), attr="count"),
                args=[ast.Constant(value=str(part))],
                keywords=[],
            ):
                return str(text.count(part))
        return str(walked(tree, 0))
    except Exception:
        return None


# ------------------------------------------------------------------------------------------ calculate: counting


def calculate__overlaps_counted(expression: str) -> str | None:
    """You count occurrences that overlap. Python's count goes on behind the last: 'banana' holds one 'ana'."""
    return _value(
        expression, counted=lambda text, part: sum(text.startswith(part, i) for i in range(len(text) - len(part) + 1))
    )


def calculate__empty_part_is_zero(expression: str) -> str | None:
    """You find the empty text nowhere. Python's count finds it before, between and after the characters."""
    return _value(expression, counted=lambda text, part: text.count(part) if part else 0)


def calculate__single_quotes_only(expression: str) -> str | None:
    """You know only single quotes. A literal may stand in double quotes too, with single ones inside."""
    return _value(expression, count=COUNT.replace('[^"\\\\\\r\\n]*', "(?!)"))


def calculate__quotes_inside(expression: str) -> str | None:
    """Your literal runs on to the last quote, as '(.*)' does. It ends at the first quote of its own kind."""
    return _value(
        expression,
        count=COUNT.replace("[^'\\\\\\r\\n]*", "[^\\\\\\r\\n]*").replace('[^"\\\\\\r\\n]*', "[^\\\\\\r\\n]*"),
    )


def calculate__backslash_taken(expression: str) -> str | None:
    """You accept a backslash in a literal. In Python it would begin an escape: such a literal has no value here."""
    return _value(expression, count=COUNT.replace("\\\\", ""))


def calculate__newline_taken(expression: str) -> str | None:
    """You accept a newline in a literal, as [^'] does. Such a literal has no value."""
    return _value(expression, count=COUNT.replace(r"\r\n", ""))


# ------------------------------------------------------------------------------------------ Dispatcher

NAMES = ("bos", "assistant_end", "python_start", "python_end", "output_start", "output_end")


class _Dispatcher:
    """A right dispatcher; each mistake exchanges one of its steps."""

    def __init__(self, special: dict[str, int], encode, decode, tool=calculate) -> None:
        if missing := [name for name in NAMES if name not in special]:
            raise ValueError(f"special should hold {', '.join(NAMES)}, but lacks {', '.join(missing)}")
        self.ids = {name: special[name] for name in NAMES}
        self.encode, self.decode, self.tool = encode, decode, tool
        self.code: list[int] | None = None
        self.waiting: list[int] = []
        self.done = False

    def next(self, sampled: int) -> tuple[int, int]:
        if not isinstance(sampled, int):
            raise TypeError(f"sampled should be an int, not {type(sampled).__name__}")
        if self.waiting:
            token, mask = self.forced(sampled), 0
        else:
            token, mask = sampled, 1
            self.heard(sampled)
        self.appended(token)
        return token, mask

    def forced(self, sampled: int) -> int:
        return self.waiting.pop(0)

    def heard(self, token: int) -> None:
        if token == self.ids["python_start"]:
            self.started()
        elif token == self.ids["python_end"]:
            if self.code is not None:
                code, self.code = self.code, None
                self.ended(code)
        elif self.code is not None:
            self.code.append(token)

    def started(self) -> None:
        self.code = []

    def ended(self, code: list[int]) -> None:
        self.answered(self.tool(self.decoded(code)))

    def decoded(self, code: list[int]) -> str:
        return self.decode(code)

    def answered(self, result: str | None) -> None:
        if result is not None:
            self.waiting += [self.ids["output_start"], *self.encode(result), self.ids["output_end"]]

    def appended(self, token: int) -> None:
        if token in (self.ids["assistant_end"], self.ids["bos"]):
            self.done = True


class Dispatcher__asks_at_the_start(_Dispatcher):
    """You ask the tool at python_start, when there is no code yet. Ask at python_end."""

    def started(self) -> None:
        self.code = []
        self.ended([])

    def heard(self, token: int) -> None:
        if token == self.ids["python_end"]:
            self.code = None
        else:
            super().heard(token)


class Dispatcher__no_output_marks(_Dispatcher):
    """You force the result without its marks. The model was trained to see output_start before and output_end after."""

    def answered(self, result: str | None) -> None:
        self.waiting += self.encode(result) if result is not None else []


class Dispatcher__mask_by_comparison(_Dispatcher):
    """You take a token for the model's own if it equals what was sampled. A forced one may happen to be the same."""

    def next(self, sampled: int) -> tuple[int, int]:
        token, _ = super().next(sampled)
        return token, int(token == sampled)


class Dispatcher__forced_with_mask_one(_Dispatcher):
    """You give forced tokens mask 1. The model did not choose them, and must not be rewarded for them."""

    def next(self, sampled: int) -> tuple[int, int]:
        return super().next(sampled)[0], 1


class Dispatcher__code_with_mask_zero(_Dispatcher):
    """You give the call itself mask 0. Its marks and its code are the model's own: it must learn to write them."""

    def next(self, sampled: int) -> tuple[int, int]:
        inside = self.code is not None
        token, mask = super().next(sampled)
        return token, 0 if inside or self.code is not None else mask


class Dispatcher__forced_at_once(_Dispatcher):
    """You return the first forced token in place of python_end. Append that one, and force from the next step on."""

    def next(self, sampled: int) -> tuple[int, int]:
        token, mask = super().next(sampled)
        if mask == 1 and self.waiting:
            return self.waiting.pop(0), 0
        return token, mask


class Dispatcher__sampled_kept(_Dispatcher):
    """You keep what is sampled while tokens are forced, and append it later. It fits a text that is gone: drop it."""

    kept: tuple[int, ...] = ()

    def next(self, sampled: int) -> tuple[int, int]:
        if not self.waiting and self.kept:
            token, *rest = (*self.kept, sampled)
            self.kept = tuple(rest)
            return super().next(token)
        return super().next(sampled)

    def forced(self, sampled: int) -> int:
        self.kept = (*self.kept, sampled)
        return super().forced(sampled)


class Dispatcher__dropped_tokens_heard(_Dispatcher):
    """You act on tokens that you drop: a mark that is sampled while others are forced was never said."""

    def forced(self, sampled: int) -> int:
        token = super().forced(sampled)
        self.heard(sampled)
        return token


class Dispatcher__dropped_tokens_end(_Dispatcher):
    """An assistant_end or bos that you dropped sets done. The sequence ends when one is appended, not sampled."""

    def forced(self, sampled: int) -> int:
        self.appended(sampled)
        return super().forced(sampled)


class Dispatcher__last_in_first_out(_Dispatcher):
    """You force the tokens in the reverse order: take the first one first."""

    def forced(self, sampled: int) -> int:
        return self.waiting.pop()


class Dispatcher__second_start_goes_on(_Dispatcher):
    """You go on collecting at a second python_start. The collection begins again there."""

    def started(self) -> None:
        self.code = [] if self.code is None else self.code


class Dispatcher__code_not_cleared(_Dispatcher):
    """You keep the code of the call before: the second call is asked with both. Begin with nothing."""

    def started(self) -> None:
        self.old: list[int] = getattr(self, "old", [])
        self.code = self.old

    def ended(self, code: list[int]) -> None:
        super().ended(list(code))


class Dispatcher__starts_nest(_Dispatcher):
    """You count starts and wait for as many ends. Calls do not nest: the first python_end ends the code."""

    open = 0

    def heard(self, token: int) -> None:
        if token == self.ids["python_start"]:
            self.open += 1
        elif token == self.ids["python_end"] and self.open:
            self.open -= 1
            if self.open:
                return
        super().heard(token)


class Dispatcher__asks_with_nothing_open(_Dispatcher):
    """You ask the tool at every python_end. With nothing open it is only text."""

    def heard(self, token: int) -> None:
        if token == self.ids["python_end"] and self.code is None:
            self.ended([])
        else:
            super().heard(token)


class Dispatcher__stays_open(_Dispatcher):
    """You leave the call open after python_end: what follows is collected too, and a second python_end asks again."""

    def ended(self, code: list[int]) -> None:
        self.code = code
        super().ended(list(code))


class Dispatcher__empty_code_ignored(_Dispatcher):
    """You do not ask for empty code, as `if code` does. The tool is asked for it as well: it is the one to say None."""

    def ended(self, code: list[int]) -> None:
        if code:
            super().ended(code)


class Dispatcher__none_in_words(_Dispatcher):
    """You force the word None. A tool that returns None has no result: nothing is forced."""

    def answered(self, result: str | None) -> None:
        super().answered(str(result))


class Dispatcher__empty_result_dropped(_Dispatcher):
    """You drop an empty result, as `if result` does. Only None is no result: ask `is not None`."""

    def answered(self, result: str | None) -> None:
        super().answered(result or None)


class Dispatcher__marks_without_result(_Dispatcher):
    """You force the output marks where the tool returned None. No result, no marks."""

    def answered(self, result: str | None) -> None:
        super().answered("" if result is None else result)


class Dispatcher__decoded_one_by_one(_Dispatcher):
    """You decode token by token and join the pieces. Half a character has no text of its own: decode all at once."""

    def decoded(self, code: list[int]) -> str:
        return "".join(self.decode([token]) for token in code)


class Dispatcher__encoded_one_by_one(_Dispatcher):
    """You encode the result character by character. A text's tokens are longer than that: encode all at once."""

    def answered(self, result: str | None) -> None:
        if result is not None:
            ids = [i for character in result for i in self.encode(character)]
            self.waiting += [self.ids["output_start"], *ids, self.ids["output_end"]]


class Dispatcher__marks_in_the_code(_Dispatcher):
    """You decode the marks with the code. The code is what stands between them."""

    def decoded(self, code: list[int]) -> str:
        return self.decode([self.ids["python_start"], *code, self.ids["python_end"]])


class Dispatcher__never_done_at_assistant_end(_Dispatcher):
    """You do not stop at assistant_end: the model would go on to speak for the user."""

    def appended(self, token: int) -> None:
        self.done = self.done or token == self.ids["bos"]


class Dispatcher__never_done_at_bos(_Dispatcher):
    """You do not stop at bos: another document begins there, and this one is over."""

    def appended(self, token: int) -> None:
        self.done = self.done or token == self.ids["assistant_end"]


class Dispatcher__done_one_late(_Dispatcher):
    """You set done one step late, at the token after the last. It is True as soon as the last is appended."""

    last = False

    def appended(self, token: int) -> None:
        self.done = self.done or self.last
        self.last = token in (self.ids["assistant_end"], self.ids["bos"])


class Dispatcher__missing_name_unnoticed(_Dispatcher):
    """You do not look whether all six names are there. One that is missing is bad input: a ValueError about special."""

    def __init__(self, special: dict[str, int], encode, decode, tool=calculate) -> None:
        super().__init__(dict.fromkeys(NAMES, -1) | special, encode, decode, tool)


class Dispatcher__missing_name_is_a_key_error(_Dispatcher):
    """A name that is missing gets out as a KeyError. Bad input is a ValueError that names the argument, special."""

    def __init__(self, special: dict[str, int], encode, decode, tool=calculate) -> None:
        for name in NAMES:
            special[name]
        super().__init__(special, encode, decode, tool)


class Dispatcher__floats_taken(_Dispatcher):
    """You take a float for a token. A wrong type is a TypeError that names the argument, sampled."""

    def next(self, sampled: int) -> tuple[int, int]:
        return super().next(int(sampled))
