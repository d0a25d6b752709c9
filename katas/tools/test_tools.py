"""What the calculator and the dispatcher must do, from easy to hard. `student` is the implementation under test."""

from __future__ import annotations

import itertools
import random
import re
import warnings

import pytest

from katas.tools import codecs
from katas.tools.codecs import encode

pytestmark = pytest.mark.seconds(5)


def has_no_value(student, expressions):
    assert student.calculate("1+1") == "2"  # so that a calculator without any values is not green
    for expression in expressions:
        assert student.calculate(expression) is None


# ------------------------------------------------------------------------------------------ calculate: sums


def test_order_of_operations(student):
    """products come before sums, equals go from left to right, and what stands in parentheses is one operand"""
    for expression, value in {
        "12": "12",
        "0": "0",
        "1+2": "3",
        "7-9": "-2",
        "6*7": "42",
        "1.5+2.5": "4.0",
        "1+2*3": "7",  # 9 from left to right
        "2*3+4*5": "26",
        "10-4-3": "3",  # 9 from right to left
        "10-4+3": "9",  # 3 if sums came before differences
        "2-3*4-5": "-15",
        "24/4/2": "3.0",  # 12.0 from right to left
        "24/4*2": "12.0",  # 3.0 if products came before quotients
        "2*7/4": "3.5",
        "(7)": "7",
        "(1+2)*3": "9",
        "2*(3+4)*5": "70",
        "10-(4-3)": "9",
        "((1+2)*(3-4))/2": "-1.5",
        "2*(3*(4+(5-1)))": "48",
    }.items():
        assert student.calculate(expression) == value


def test_printed_as_python_prints(student):
    """a quotient has a point, however even it comes out; so has a sum with a point in it; no digit is rounded away"""
    for expression, value in {
        "7/2": "3.5",
        "6/2": "3.0",
        "0/5": "0.0",
        "4-8/4": "2.0",
        "1/3": "0.3333333333333333",
        "3.5": "3.5",
        ".5": "0.5",
        "2.": "2.0",
        "0.0": "0.0",
        "0.50": "0.5",
        "10.25+.25": "10.5",
        "2.*.5": "1.0",
        "1.+1": "2.0",
        "0.1+0.2": "0.30000000000000004",
        "0.00001*1": "1e-05",  # an exponent may come out, though none may go in
        "10000000000000000.0*10": "1e+17",
    }.items():
        assert student.calculate(expression) == value


def test_whole_numbers_stay_exact(student):
    """whole numbers of any length are exact, and their quotient is rounded once"""
    assert student.calculate("9007199254740993+0") == "9007199254740993"  # 2^53 + 1, which is no float
    assert student.calculate("99999999999999999999*99999999999999999999") == str((10**20 - 1) ** 2)
    assert student.calculate("9" * 99 + "*" + "9" * 99) == str((10**99 - 1) ** 2)
    # (2^53 + 1) / 3 is whole, and a float; rounding 2^53 + 1 to a float first gives ...330.5
    assert student.calculate("9007199254740993/3") == "3002399751580331.0"


def test_minus_before_an_operand(student):
    """a minus may stand before any operand, again and again, and belongs to that operand alone"""
    for expression, value in {
        "-5": "-5",
        "-2-3": "-5",  # 1 if the minus took all that follows
        "-(2+3)": "-5",
        "2*-3": "-6",
        "-2*-3": "6",
        "6/-4": "-1.5",
        "-2+3*-4": "-14",
        "2--3": "5",
        "--5": "5",
        "---5": "-5",
        "2---3": "-1",
        "2*--3": "6",
        "-(-(5))": "5",
        "-0": "0",
        "-0.0": "-0.0",  # the sign of a float's zero is kept; 0 - 0.0 has lost it
        "0*-1.5": "-0.0",
    }.items():
        assert student.calculate(expression) == value


def test_other_ways_to_write_a_number(student):
    """exponents, underscores, other bases, leading zeros, a second point and foreign digits make no number"""
    numbers = "0x10 0b1 0o7 1_000 1e5 1E5 1.5e-3 7j 5L 007 01 . .. 1..2 1.2.3 1.2. .5. ..5 inf nan Infinity ½".split()
    has_no_value(student, numbers)
    has_no_value(student, [f"1+{number}" for number in numbers])
    # threes in Arabic, Devanagari and full-width digits, which int() reads, and raised digits, which isdigit() takes
    for digit in "\u0663\u0969\uff13\u00b2\u00b3":
        has_no_value(student, (digit, f"1{digit}", f"1+{digit}", f"{digit}.5", f".{digit}"))


def test_white_space(student):
    """spaces may stand between tokens and at both ends, but not inside a number; no other white space may"""
    for expression, value in {
        "1 + 2": "3",
        "  1+1": "2",
        "1+1  ": "2",
        " ( 1 + 2 )  *   - 3 ": "-9",
        "- - 5": "5",
        "2. / .5": "4.0",
    }.items():
        assert student.calculate(expression) == value
    has_no_value(student, ("1 2", "1 000", "3. 5", "3 .5", "3 . 5", "1+2 3"))
    for white in "\t\n\r\x0b\x0c\x1f\u00a0\u2003\u2028\u3000":  # str.isspace() says yes to each
        has_no_value(student, (f"1{white}+1", f"{white}1+1", f"1+1{white}", f"(1+{white}1)"))


def test_commas(student):
    """commas are dropped before anything else is looked at"""
    for expression, value in {
        "1,234*10": "12340",
        "1,000,000/4": "250000.0",
        "12,34,5": "12345",
        ",1,,2,": "12",
        "3-,-5": "8",
        ",.,5": "0.5",
        "(1,+1)": "2",
    }.items():
        assert student.calculate(expression) == value
    has_no_value(student, ("", ",", "(,)", "2*,*3", "6/,/2", "0,07", "1.2,.3"))  # the last ones are 2**3 6//2 007 1.2.3


# ------------------------------------------------------------------------------ calculate: what has no value


def test_division_by_zero(student):
    """a division by zero has no value, whatever the zero looks like, and raises nothing"""
    has_no_value(student, "1/0 0/0 1/0.0 1/.0 1/-0.0 0.0/0 2+1/(3-3) 5/(.5-1/2) (1/0)*0 0*(1/0) 1/(0*7)".split())


def test_other_operators(student):
    """four signs and a minus before an operand: no unary plus, powers, // or %; nothing missing or left over"""
    has_no_value(
        student, "+1 1++2 2*+3 -+5 +-5 (+1) 1-(+2) 2**3 2**-1 7//2 7%2 2^3 ~1 1<2 1==1 1=1 1!=2 1@2 1&2".split()
    )
    has_no_value(student, ("2 ** 3", "2* *3", "7 // 2", "7/ /2", "+ 1", "1 + + 1", "4 % 3"))
    has_no_value(student, "1+1= =1+1 $1 1$ 50% 2\u00d73 6\u00f72 3\u22122 2x3 2X3 2·3".split())  # not Python's signs
    has_no_value(student, "- -- 1- 1+ *2 1* /2 () ( ) (1 1) )1( (1)) ((1) (1+)2 1*/2 1-*2 -() [1] {1} (1]".split())
    has_no_value(student, ("", " ", "1(2)", "(1)2", "(1)(2)", "2(3+4)", "(1 2)", "( )"))


def test_words_and_code(student):
    """names, constants, texts and anything that could be run have no value; nor has what is not a str"""
    has_no_value(
        student, "x e pi 1+a True None ... abs(1) int('3') (1).real (5).bit_length() print(1) 1;2 1# `1`".split()
    )
    has_no_value(student, ("1 if 1 else 2", "not 1", "1or 2", "1 and 2", "lambda: 1", "1 .real", "1 # one", "x = 1"))
    has_no_value(
        student, "'a' '1' 'a'+'b' 'a'*3 f'{1+1}' '%d'%1 __import__('os').getcwd() ().__class__.__base__".split()
    )
    has_no_value(student, (None, 3, 2.5, True, b"1+1", ["1"], {"1": 1}))


def test_two_hundred_characters(student):
    """200 characters are allowed and 201 are not, counted as given: commas and spaces too"""
    for long, value in {
        "1" + "+0" * 99 + " ": "1",
        "1" * 200: "1" * 200,
        " " * 199 + "7": "7",
        "," * 199 + "7": "7",
        "'" + "a" * 187 + "'.count('a')": "187",
        "'" + "é" * 187 + "'.count('é')": "187",  # 388 bytes, but 200 characters
    }.items():
        assert len(long) == 200
        assert student.calculate(long) == value
        has_no_value(student, (" " + long, long + " ", long + ",", "," + long))


def test_fifty_deep(student):
    """an operand may stand inside 50 open parentheses and minus signs together, not inside 51; long is not deep"""
    for before, after in (("(" * 50, ")" * 50), ("-" * 50, ""), ("(-" * 25, ")" * 25), ("-(" * 25, ")" * 25)):
        value = -7 if before.count("-") % 2 else 7
        assert student.calculate(f"{before}7{after}") == str(value)
        assert student.calculate(f"2*{before}7{after}+1") == str(2 * value + 1)
        has_no_value(student, (f"({before}7{after})", f"-{before}7{after}"))
        has_no_value(student, [f"1{sign}-{before}7{after}" for sign in "+-*/"])
        # what was opened and closed before counts neither for nor against
        assert student.calculate(f"-(-(1))+{before}7{after}") == str(1 + value)
        has_no_value(student, (f"-1+(1)*-{before}7{after}", f"-(-(1))+({before}7{after})"))
    assert student.calculate("-(-1+(2)-" + "(" * 48 + "7" + ")" * 49) == "6"  # the 7 is inside 50
    has_no_value(student, ["-(-1+(2)-" + "(" * 49 + "7" + ")" * 50])  # and here inside 51
    has_no_value(student, ["(" * 50 + f"7{more}" + ")" * 50 for more in ("+(7)", "--7", "*(7)", "/-7")])  # the second 7
    for expression, value in {
        "+".join(["1"] * 100): "100",
        "*".join(["1"] * 100): "1",
        "1" + "-1" * 99: "-98",  # a minus between two operands is not open before either
        "-1" + "*-1" * 60: "-1",  # 61 minus signs, each open before one operand
        "(-1" + "*-1" * 59 + ")": "1",
        "+".join(["((1))"] * 33): "33",  # 66 parentheses; what was closed is open no more
        "(" + "*".join(["-(1)"] * 38) + ")": "1",
    }.items():
        assert student.calculate(expression) == value


# ------------------------------------------------------------------------------------------ calculate: counts


def test_count(student):
    """'strawberry'.count('r') is 3: the number that Python's own str.count gives"""
    for expression, value in {
        "'strawberry'.count('r')": "3",
        "'strawberry'.count('rr')": "1",
        "'strawberry'.count('x')": "0",  # 0 is a value
        "'banana'.count('ana')": "1",  # occurrences do not overlap
        "'aaaaa'.count('aa')": "2",
        "'abc'.count('')": "4",  # before, between and after
        "''.count('')": "1",
        "''.count('a')": "0",
        "'a'.count('aa')": "0",
        "'Aa'.count('a')": "1",
        "'1+1'.count('1')": "2",
        "'東京東'.count('東')": "2",
    }.items():
        assert student.calculate(expression) == value


def test_inside_and_outside_the_quotes(student):
    """either kind of quote, spaces between tokens; inside a literal all counts but commas, which are gone already"""
    for expression, value in {
        '"strawberry".count("r")': "3",
        "\"strawberry\".count('r')": "3",
        """ "it's".count("'") """: "1",
        """'say "hi"'.count('"')""": "2",
        " 'a b a' . count ( 'a' ) ": "2",
        "'a b a'.count(' ')": "2",
        "'a  b'.count('  ')": "1",
        "' a'.count(' a')": "1",
        "'a\tb'.count('\t')": "1",  # white space of any kind may stand inside a literal
        "'a\u3000b'.count('\u00a0')": "0",
        "'(-*/'.count('-')": "1",
        "'.count('.count('c')": "1",
        "'1,000,000'.count('0')": "6",
        "'1,000'.count('10')": "1",
        "'a,b,c'.count(',')": "4",  # 'abc'.count('')
        "'a,a'.count('a,a')": "1",
        "'banana'.count('a',)": "3",
        "'ab'.c,ount('b')": "1",
    }.items():
        assert student.calculate(expression) == value


NO_COUNTS = """
    f'a'.count('a') b'a'.count(b'a') r'a'.count('a') u'a'.count('a') 'a'.count(f'a') 'a'.count(r'a') f'a'.count(f'a')
    'a'.Count('a') 'a'.counts('a') 'a'.count 'a'.count() 'a'.count(a) a.count('a') 'a'.count(1) 1.count('1')
    'a'.find('a') 'a'.index('a') 'a'.upper() 'a'.join('a') 'a'.replace('a','b') 'a'.__len__() len('a')
    'a'.count('a').real 'a'.count('a')+1 1+'a'.count('a') -'a'.count('a') 'a'.count('a').count('a') 'a'..count('a')
    ('a').count('a') ('a'.count('a')) 'a'.count(('a')) 'a'.count('a' 'a'.count('a 'a'.count'a' 'a'.count('a'))
    'a'.count('a'); 'a.count('a') 'a".count('a') 'a'.count('a") 'a'b'.count('a') 'a'.count('a'a') 'a''.count('a')
    'a'.count('a')# 'a''b'.count('a') 'a'.count('a','b') 'a'.count('a',0) '''a'''.count('a') 'a'+'b'.count('a')
    'a'*2.count('a') 'a'.count(x='a') 'a'.count(*'a') 'a'if(1)else'a'.count('a') ['a'].count('a') 'a'.count(aba)
    a'.count('a') 'a'.count(a')
""".split()


def test_what_is_no_count(student):
    """a count is two plain literals and nothing more, and no literal holds a backslash or a newline"""
    has_no_value(student, NO_COUNTS)
    has_no_value(
        student, ("'a' 'b'.count('a')", "'a'.co unt('a')", "f 'a'.count('a')", "'a'.count('a') 'a'.count('a')")
    )
    has_no_value(student, ("'a'.count('a')\n", "\t'a'.count('a')", "'a'.\ncount('a')", "'a'.count(\u00a0'a')"))
    has_no_value(student, (r"'\n'.count('n')", r"'a'.count('\x61')", r"'it\'s'.count('s')", r"'a'.count('\\')", "'a\\"))
    has_no_value(student, ("'a\nb'.count('a')", "'ab'.count('\n')"))
    assert student.calculate("'a/nb'.count('n')") == "1"  # a slash is no backslash


# ------------------------------------------------------------------------------ calculate: nothing breaks it


def test_quick_and_never_raises(student):
    """nothing keeps it busy and nothing makes it raise: no power is computed, no text is searched over and over"""
    has_no_value(
        student, ("9**9**9**9", "2**9999999999", "'a'*9999999999", "1<<9999999999", "9" * 199 + "x", "1+" * 99 + "x")
    )
    has_no_value(
        student, (" " * 199 + "x", "1" + " " * 198 + "x", "(" * 200, ")" * 200, "-" * 200, "." * 200, "'" * 200)
    )
    has_no_value(student, ("(" * 50 + "7", "(" * 50 + "7" + ")" * 49, "((((" * 10 + "7)+" * 40, "-(" * 25 + "7+" * 60))
    has_no_value(
        student, ("'" + "a" * 190, "'a'.count(" * 20, "' ' " * 50, "(1)" * 60, "(-1)-" * 39, "1 " * 99, "1." * 99)
    )
    assert student.calculate("(" * 50 + "7" + ")" * 50) == "7"  # a parser that reads each twice takes 2^50 steps
    has_no_value(student, ("\x00", "1\x00", "1+\x001", "\ud800", "1\udcff", "\ufeff1", "1\u200b", "\U0001f9ee", "1②"))
    for expression in (
        "'a\x00a'.count('a')",
        "'\ud800a'.count('a')",
        "'a\ra'.count('a')",
        "1" + "/(.1*3-.3)" * 19,  # .1*3-.3 is 5.6e-17: 19 such divisions leave the range of floats
    ):
        value = student.calculate(expression)
        assert value is None or isinstance(value, str), f"calculate({expression!r}) should be a str or None"


def python_says(expression: str) -> str | None:
    """Python's own opinion of digits, points, the four signs, parentheses, spaces and commas."""
    assert not set(expression) - set("0123456789.+-*/() ,")
    text = expression.replace(",", "").strip(" ")
    if "**" in text or "//" in text or re.search(r"(^|[-+*/(]) *\+", text):
        return None  # these three Python knows, and the contract does not
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of "1(1)": a number cannot be called
            value = eval(text, {"__builtins__": {}})
    except (SyntaxError, TypeError, ZeroDivisionError):
        return None
    return str(value) if isinstance(value, int | float) else None  # "()" is a tuple, "..." is an Ellipsis


def grown(rng: random.Random, operands: int) -> str:
    """A random expression."""
    if operands == 1:
        number = rng.choice(
            (f"{rng.randrange(1000)}", f"{rng.randrange(50)}.{rng.randrange(100)}", f".{rng.randrange(9)}")
        )
        return rng.choice(("", "", "", "-", "- ", " ")) + number
    left = rng.randrange(1, operands)
    text = grown(rng, left) + rng.choice("+-*/") + grown(rng, operands - left)
    return rng.choice(("{}", "{}", "({})", "-({})", " ( {} )", "{},")).format(text)


def test_what_python_says(student):
    """all that three characters can write and all sums of three operands: it says what Python says"""
    for length in range(4):
        for characters in itertools.product("10.+-*/() ", repeat=length):
            expression = "".join(characters)
            if re.search("(?<![0-9.])0+[0-9]", expression):
                continue  # of leading zeros the contract says only that 007 is no number
            assert student.calculate(expression) == python_says(expression)
    forms = ("{}{}{}{}{}", "({}{}{}){}{}", "{}{}({}{}{})", "-({}{}{}){}{}")
    for a, b, c in (("7", "2", ".5"), ("2.", "0", "3")):
        for first, second, minus, form in itertools.product("+-*/", "+-*/", ("", "-"), forms):
            expression = form.format(a, first, minus + b, second, c)
            assert student.calculate(expression) == python_says(expression)


def test_long_expressions(student, reference, seed):
    """long expressions by chance, too, whole or with one character of another kind: it says what Python says"""
    rng = random.Random(seed + 9)
    expressions = [grown(rng, operands) for operands in range(3, 28) for _ in range(4)]
    for expression in sorted((text for text in expressions if len(text) <= 200), key=len):
        assert student.calculate(expression) == python_says(expression)
        assert student.calculate(expression) == reference.calculate(expression)
        at = rng.randrange(len(expression))
        spoiled = expression[:at] + rng.choice("0123456789.+-*/() ,") + expression[at + 1 :]
        assert student.calculate(spoiled) == reference.calculate(spoiled)


def test_counts_by_chance(student, seed):
    """counts in words of few letters, spaces and quotes: what str.count says"""
    rng = random.Random(seed)
    for size in range(60):
        text, part = ("".join(rng.choices("abr ", k=k)) for k in (size, rng.randint(0, 3)))
        a, b = rng.choices("'\"", k=2)
        assert student.calculate(f"{a}{text}{a}.count({b}{part}{b})") == str(text.count(part))


# ------------------------------------------------------------------------------------------ Dispatcher

NINE = "bos user_start user_end assistant_start assistant_end python_start python_end output_start output_end".split()
SPECIAL = {name: 400 + i for i, name in enumerate(NINE)}
BOS, STOP, START, END, OUT, OUT_END = 400, 404, 405, 406, 407, 408  # equal to those above, not the same objects
LOW = {"output_start": 0, "python_end": 1, "bos": 2, "python_start": 3, "output_end": 4, "assistant_end": 5}


def watch(student, tool, special=SPECIAL, decoder="decode"):
    return student.Dispatcher(special, student.codec("encode"), student.codec(decoder), tool=student.codec(tool))


def play(dispatcher, *tokens):
    return [dispatcher.next(token) for token in tokens]


def asked(dispatcher, name):
    """What a codec was called with, call by call."""
    return [arguments for codec, arguments in dispatcher.codec_calls if codec == name]


def chosen(*tokens):
    """What is appended when these are the model's own."""
    return [(token, 1) for token in tokens]


def forced(*tokens):
    """What is appended when these are forced."""
    return [(token, 0) for token in tokens]


def test_text_passes(student):
    """outside a tool call every sampled token is appended with mask 1, whatever it is"""
    dispatcher = watch(student, "zero")
    assert play(dispatcher, 11, 12, 401, 0, OUT, 58, OUT_END, 13) == chosen(11, 12, 401, 0, OUT, 58, OUT_END, 13)
    assert asked(dispatcher, "zero") == []
    play(dispatcher, START, 59, END)
    assert asked(dispatcher, "zero") != [], "a dispatcher that only passes tokens on never asks the tool"


def test_a_tool_call(student):
    """the code is the model's own, mask 1; then come output_start, the result, output_end, in this order, mask 0"""
    dispatcher = watch(student, "echo")
    code = encode("12*34")
    assert code == [312, 52, 334]  # "12", "*", "34": three ids
    assert play(dispatcher, 99, START, *code, END) == chosen(99, START, *code, END)
    assert play(dispatcher, 11, 11, 11, 11, 11) == forced(OUT, *code, OUT_END)
    assert play(dispatcher, 77, 78) == chosen(77, 78)
    dispatcher = watch(student, "shout")
    play(dispatcher, START, 312, 334, END)
    result = encode("→1234→")
    assert len(result) == 3 + 2 + 3  # an arrow is three bytes; encoded character by character, 1234 would be four ids
    assert play(dispatcher, *range(20, 31)) == [*forced(OUT, *result, OUT_END), *chosen(30)]


def test_what_is_asked_of_the_tool(student):
    """nothing is asked before python_end; then, at once, all of the code between the marks, decoded in one piece"""
    dispatcher = watch(student, "echo")
    play(dispatcher, 77, START, 59, 53, 60)
    assert asked(dispatcher, "decode") == asked(dispatcher, "echo") == []
    play(dispatcher, END)
    assert asked(dispatcher, "decode") == [[[59, 53, 60]]]
    assert asked(dispatcher, "echo") == [["1+2"]]
    play(dispatcher, 1, 2, 3, 4, 5, 77)  # the five forced ones, and on
    assert asked(dispatcher, "echo") == [["1+2"]]

    code = encode("'é€'.count('€')")  # "é" is two ids, each of which alone is no text
    dispatcher = watch(student, "echo")
    play(dispatcher, START, *code, END)
    assert asked(dispatcher, "decode") == [[code]]
    assert asked(dispatcher, "echo") == [["'é€'.count('€')"]]

    dispatcher = watch(student, "echo", decoder="decode_words")  # it puts a space between one id and the next
    play(dispatcher, START, 59, 53, 60, END)
    assert asked(dispatcher, "echo") == [["1 + 2"]]


def test_none_and_nothing(student):
    """the tool is asked for empty code too; None forces nothing; the empty string, a 0 and the word None are results"""
    dispatcher = watch(student, "zero")
    assert play(dispatcher, START, END, 77, 77, 77, 77) == [*chosen(START, END), *forced(OUT, 58, OUT_END), *chosen(77)]
    assert asked(dispatcher, "decode") == [[[]]]
    assert asked(dispatcher, "zero") == [[""]]
    dispatcher = watch(student, "nothing")
    assert play(dispatcher, START, 59, END, 77, 78, 79) == chosen(START, 59, END, 77, 78, 79)
    assert asked(dispatcher, "nothing") == [["1"]]
    for tool, ids in (("empty", []), ("zero", [58]), ("none_in_words", encode("None"))):
        dispatcher = watch(student, tool)
        play(dispatcher, START, 59, END)
        assert play(dispatcher, *[77] * (len(ids) + 3)) == [*forced(OUT, *ids, OUT_END), *chosen(77)]


@pytest.mark.parametrize(
    "dropped", [(START, 59, END), (START, START, 60), (END, END, START), (STOP, BOS, STOP), (OUT, 61, OUT_END)], ids=str
)
def test_dropped_tokens_have_no_effect(student, dropped):
    """what is sampled while tokens are forced is gone: not appended later, no code, no call, no end"""
    dispatcher = watch(student, "echo")
    play(dispatcher, START, 61, END)
    assert play(dispatcher, *dropped) == forced(OUT, 61, OUT_END)  # also where the model would have said the same
    assert not dispatcher.done, "a token that was dropped should not end the sequence"
    assert play(dispatcher, 77, 78, END, 79, 80) == chosen(77, 78, END, 79, 80)
    assert asked(dispatcher, "echo") == [["3"]]
    assert play(dispatcher, START, 60, END, 1, 1, 1) == [*chosen(START, 60, END), *forced(OUT, 60, OUT_END)]
    assert asked(dispatcher, "echo") == [["3"], ["2"]]


def test_second_start(student):
    """a second python_start is appended like any token, and the collection begins again"""
    dispatcher = watch(student, "echo")
    assert play(dispatcher, START, 59, 60, START, 61, END) == chosen(START, 59, 60, START, 61, END)
    assert asked(dispatcher, "decode") == [[[61]]]
    assert play(dispatcher, 1, 1, 1, 77) == [*forced(OUT, 61, OUT_END), *chosen(77)]
    assert play(dispatcher, END, 78) == chosen(END, 78)  # the first start is not open any more


@pytest.mark.parametrize("tool", ["zero", "nothing"])
def test_end_with_nothing_open(student, tool):
    """a python_end with nothing open is only text: before any call, and after one"""
    dispatcher = watch(student, tool)
    assert play(dispatcher, END, 77, END) == chosen(END, 77, END)
    assert asked(dispatcher, tool) == []
    play(dispatcher, START, 61, END)
    if tool == "zero":
        play(dispatcher, 1, 1, 1)  # the forced ones
    assert play(dispatcher, END, 77, END, 78) == chosen(END, 77, END, 78)
    assert asked(dispatcher, tool) == [["3"]]


@pytest.mark.parametrize("last", [STOP, BOS])
def test_done(student, last):
    """assistant_end and bos are appended like any token, and end the sequence; nothing else does"""
    dispatcher = watch(student, "zero")
    assert not dispatcher.done, "nothing was appended yet: done should be False"
    for token in (77, 402, START, 59, END, 1, 1, 1, 78, END, OUT, OUT_END):
        dispatcher.next(token)
        assert not dispatcher.done, f"{token} was sampled and done should be False: it is neither assistant_end nor bos"
    assert play(dispatcher, last) == chosen(last)
    assert dispatcher.done, "done should be True at once when assistant_end or bos was appended"


def test_several_calls(student):
    """every call has its own code and its own result, however long, also when the next one follows at once"""
    dispatcher = watch(student, "echo")
    for code in ([59], [60, 53, 61], [], [42, 59, 42], [53] * 300, [312]):  # 42 is a space
        assert play(dispatcher, START, *code, END) == chosen(START, *code, END)
        assert play(dispatcher, *[62] * (len(code) + 2)) == forced(OUT, *code, OUT_END)
    assert asked(dispatcher, "echo") == [["1"], ["2+3"], [""], [" 1 "], ["+" * 300], ["12"]]


def test_two_sequences_at_once(student):
    """two dispatchers share nothing"""
    one, two = watch(student, "echo"), watch(student, "echo")
    assert play(one, START, 59) == chosen(START, 59)
    assert play(two, 77, END, START, 60) == chosen(77, END, START, 60)
    assert play(one, 53, END, 1) == [*chosen(53, END), *forced(OUT)]
    assert play(two, 52, END, STOP) == [*chosen(52, END), *forced(OUT)]
    assert play(one, 1, 1, 1, STOP) == [*forced(59, 53, OUT_END), *chosen(STOP)]  # "1+"
    assert one.done, "one saw assistant_end: its done should be True"
    assert not two.done, "two did not see assistant_end, one did: the done of two should be False"
    assert play(two, 1, 1, 1, 77) == [*forced(60, 52, OUT_END), *chosen(77)]  # "2*"


def test_calculate_is_the_tool(student):
    """your calculator answers where no other tool is given, in calls as a model makes them"""
    dispatcher = student.Dispatcher(SPECIAL, student.codec("encode"), student.codec("decode"))
    for code, result in (("1,200/4", "300.0"), ("'déjà, €é'.count('é')", "2")):
        play(dispatcher, START, *encode(code), END)
        ids = encode(result)
        assert play(dispatcher, *[77] * (len(ids) + 3)) == [*forced(OUT, *ids, OUT_END), *chosen(77)]
    assert play(dispatcher, START, *encode("1/0"), END, 77)[-1:] == chosen(77)


def test_every_short_sequence(student, reference):
    """whatever comes, text, python_start and python_end in any order: what the worked answer does"""
    for tool in ("empty", "nothing"):
        for length in range(1, 5):
            for tokens in itertools.product((59, START, END), repeat=length):
                worked = reference.Dispatcher(SPECIAL, codecs.encode, codecs.decode, getattr(codecs, tool))
                assert play(watch(student, tool), *tokens) == play(worked, *tokens)


def test_long_sequences(student, reference, seed):
    """three hundred tokens by chance: what the worked answer does, also where ids are 0"""
    for special in (SPECIAL, LOW):
        start, end = special["python_start"], special["python_end"]
        tokens = random.Random(seed + 9).choices((start, end, 59, 60, 314, 205), (3, 3, 2, 2, 2, 2), k=300)
        worked = reference.Dispatcher(special, codecs.encode, codecs.decode, codecs.shout)
        assert play(watch(student, "shout", special), *tokens) == play(worked, *tokens)


def test_bad_input(student):
    """a special token is missing, or what was sampled is a float: refused, by name"""
    for name in LOW:
        with pytest.raises(ValueError, match="special"):
            watch(student, "zero", {key: value for key, value in SPECIAL.items() if key != name})
    dispatcher = watch(student, "zero", LOW)  # all six, and no other, will do
    assert play(dispatcher, 3, 1, 77) == [*chosen(3, 1), *forced(0)]
    with pytest.raises(TypeError, match="sampled"):
        watch(student, "zero").next(77.0)


def test_leaves_its_arguments_alone(student):
    """the caller's dict of special ids is the caller's"""
    dispatcher = student.Dispatcher(
        special=LOW, encode=student.codec("encode"), decode=student.codec("decode"), tool=student.codec("zero")
    )
    assert play(dispatcher, 406, 3, 59, 1) == chosen(406, 3, 59, 1)
    assert play(dispatcher, 3, 3, 3, 77) == [*forced(0, 58, 4), *chosen(77)]  # 58 is "0"
    assert play(dispatcher, 5) == chosen(5)
    assert dispatcher.done, "5 is assistant_end here: done should be True"
