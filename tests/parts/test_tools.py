"""The tools part: the calculator against Python itself, the dispatcher against scripts written by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.parts.tools import Dispatcher, calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12", "12"),
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("10-4-3", "3"),  # from the left
        ("24/4/2", "3.0"),  # a division gives a float
        ("7/2", "3.5"),
        ("2*-3", "-6"),
        ("--5", "5"),
        ("-(-(5))", "5"),
        ("2--3", "5"),
        ("-2*-3", "6"),
        ("3.5+.5+2.", "6.0"),
        ("0.1+0.2", "0.30000000000000004"),
        ("1,234*10", "12340"),
        (",1,,2,", "12"),
        (" ( 1 + 2 )  * 3 ", "9"),
        ("00", "0"),
        ("007.5", "7.5"),  # a float literal may begin with zeros, an int may not
        ("0*-1.5", "-0.0"),
        ("10000000000000000.0*10", "1e+17"),
        ("9" * 99 + "*" + "9" * 99, str(int("9" * 99) ** 2)),
        ("+".join(["1"] * 100), "100"),  # long is not deep
        ("1" + "-1" * 99, "-98"),
        ("*".join(["(2)"] * 50), str(2**50)),
        ("(" * 50 + "7" + ")" * 50, "7"),
        ("-" * 50 + "7", "7"),
        ("(-" * 25 + "7" + ")" * 25, "-7"),
        ("1" + "+0" * 99 + " ", "1"),  # 200 characters
    ],
)
def test_arithmetic(expression, value):
    """precedence, signs, number formats, commas, spaces and the limits, each at its last allowed value"""
    assert len(expression) <= 200
    assert calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'strawberry'.count('r')", "3"),
        ('"strawberry".count("rr")', "1"),
        ("""'say "hi"'.count('"')""", "2"),
        (""""it's".count("'")""", "1"),
        (" 'a b a' . count ( 'a' ) ", "2"),
        ("'abc'.count('')", "4"),
        ("''.count('a')", "0"),
        ("'a,b,c'.count(',')", "4"),  # commas go first, inside the literals as well: 'abc'.count('')
        ("'a\tb'.count('\t')", "1"),  # other white space may stand inside a literal
        ("'東京東'.count('東')", "2"),
        ("'banana'.count('a',)", "3"),
        ("'1+1'.count('1')", "2"),
        ("'" + "a" * 187 + "'.count('a')", "187"),  # 200 characters
    ],
)
def test_count(expression, value):
    """the other form: how often one text occurs in another"""
    assert len(expression) <= 200
    assert calculate(expression) == value


NO_VALUE = r"""
( ) () - + . 1+ 1(2) (1)(2) (1 1) *2 1..5 1.2.3 (1+)2
1/0 1/(2-2) 0/0 1/0.0 1/-0 3/(1-.5-.5)
+1 1++2 2*+3 2**3 7//2 7%2 1<2 1==1 1=1 1;2 2^3 ~1 !1 1j
1e5 1E5 1.5e3 1_000 0x10 0b1 0o7 007 00012 1l 9**9**9**9 __import__('os').system('true')
True None ... x pi abs(1) (1).real int('3') [1] {1} #1 1# `1` $1 (1)if(1)else(2)
a.count('a') 'a' 'a'+'b' 'a'*3 ('a').count('a') ('a'.count('a')) -'a'.count('a') 1+'a'.count('a')
f'a'.count('a') b'a'.count(b'a') r'a'.count('a') u'a'.count('a') 'a'.count(f'a') '''a'''.count('a')
'a'.count('a')+1 'a'.count('a').real 'a'.find('a') 'a'.Count('a') 'a'.count 'a'.count() 'a'.count(a)
'a'.count('b' 'a'.count'b' 'a.count('a') 'a".count('a') 'a','b'.count('a') 'a'.__class__ ''.join('a')
'\n'.count('n') 'a'.count('\x61') 'a'.count('a'); 'a'.count('a')#
"""


@pytest.mark.parametrize(
    "expression",
    [
        *NO_VALUE.split(),
        *("\u0663", "\uff11", "\u00b2", "1\u00a0+2"),  # digits and a space, but not those of ASCII
        *("", " ", ",", "1 2", "1 .5", "1. 5", "1 if 1", "1 and 2", "not 1", "lambda: 1"),
        *("1\n", "\t1", "1\r", "1\x0b+1", "1+\n1", "1\x00", "'a'.count('a')\n", "'a'.\tcount('a')"),
        *("'a\nb'.count('a')", "'a'.count('a' 'b')", "'a'.count('a' 1)", "'a' 'b'.count('a')"),
        *("(" * 51 + "7" + ")" * 51, "-" * 51 + "7", "-(" * 26 + "7" + ")" * 26),
        *("1+" + "(" * 51 + "7" + ")" * 51, "(" * 200, "-" * 200, "((" * 60 + "1"),
        "1" + "+0" * 100,  # 201 characters
        " " * 200 + "1",
        "1" + "," * 200,  # as given, before the commas are dropped
        "'" + "a" * 188 + "'.count('a')",
    ],
)
def test_anything_else_has_no_value(expression):
    """what is not of the two forms is None"""
    assert calculate(expression) is None


@pytest.mark.parametrize("argument", [None, 3, 2.5, b"1+1", ["1"], True, object()])
def test_not_a_string(argument):
    """what is not a str is None as well"""
    assert calculate(argument) is None


NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.tuples(st.integers(0, 999), st.text("0123456789", max_size=3)).map(lambda two: f"{two[0]}.{two[1]}"),
    st.text("0123456789", min_size=1, max_size=3).map(lambda digits: f".{digits}"),
    st.sampled_from(["0", "00", "0.", ".0", "007.25"]),
)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        inner.map(lambda text: f" {text}  "),
    ),
    max_leaves=12,
).filter(lambda text: len(text) <= 200 and "**" not in text and "//" not in text)


@settings(max_examples=400)
@given(EXPRESSIONS)
def test_equals_python(expression):
    """Python's own evaluation of expressions grown from the grammar, division by zero included"""
    try:
        expected = str(eval(expression.strip(" "), {"__builtins__": {}}))
    except ZeroDivisionError:
        expected = None
    assert calculate(expression) == expected


@settings(max_examples=400)
@given(st.text("0123456789.+-*/() ,", max_size=14))
def test_equals_python_on_soup(soup):
    """any mixture of the allowed characters: where Python, too, sees a sum, the same value, and else None"""
    clean = soup.replace(",", "").strip(" ")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # "1(2)": an int is not callable
            expected = str(eval(clean, {"__builtins__": {}}))
    except (SyntaxError, TypeError, ZeroDivisionError):
        expected = None
    value = calculate(soup)
    if value is not None:
        assert value == expected
    elif expected is not None:  # what Python knows and the calculator does not
        signs = clean.replace(" ", "")
        assert "**" in signs or "//" in signs or "()" in signs or has_unary_plus(signs)


def has_unary_plus(text: str) -> bool:
    return any(sign == "+" and before in "+-*/(^" for before, sign in zip("^" + text, text, strict=False))


@settings(max_examples=300)
@given(st.text(max_size=220) | st.text("'\".count() ab,\\\n", max_size=40))
def test_never_raises(text):
    """any text has a value or none; never an exception"""
    assert isinstance(calculate(text), str | None)


SPECIAL = {
    "bos": 100,
    "assistant_end": 104,
    "python_start": 105,
    "python_end": 106,
    "output_start": 107,
    "output_end": 108,
}
START, END, OUT, OUT_END, STOP, BOS = 105, 106, 107, 108, 104, 100


def encode(text: str) -> list[int]:
    return [ord(character) for character in text]


def decode(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def play(sampled: list[int], tool: Callable[[str], str | None] = calculate) -> list[tuple[int, int]]:
    dispatcher = Dispatcher(SPECIAL, encode, decode, tool)
    return [dispatcher.next(token) for token in sampled]


def chosen(*tokens: int) -> list[tuple[int, int]]:
    return [(token, 1) for token in tokens]


def forced(*tokens: int) -> list[tuple[int, int]]:
    return [(token, 0) for token in tokens]


def test_text_passes():
    """without a tool call every sampled token is appended, chosen by the model"""
    assert play([1, 2, 3, END, 4]) == chosen(1, 2, 3, END, 4)


def test_a_tool_call():
    """after python_end the result is forced, in order and with mask 0; what is sampled then is dropped"""
    sampled = [9, START, *encode("6*7"), END, *[1, 2, 3, 4], 5]
    assert play(sampled) == [
        *chosen(9, START, *encode("6*7"), END),
        *forced(OUT, *encode("42"), OUT_END),
        *chosen(5),
    ]


@pytest.mark.parametrize("dropped", [(START, 49, END, STOP), (STOP, BOS, END, START)])
def test_dropped_tokens_have_no_effect(dropped):
    """marks, stops and whole calls that are sampled while tokens are forced do nothing"""
    dispatcher = Dispatcher(SPECIAL, encode, decode)
    for token in (START, *encode("10"), END):
        dispatcher.next(token)
    assert [dispatcher.next(token) for token in dropped] == forced(OUT, *encode("10"), OUT_END)
    assert not dispatcher.done
    assert [dispatcher.next(token) for token in (*encode("1"), END, 7)] == chosen(*encode("1"), END, 7)


def test_no_result_forces_nothing():
    """None injects nothing: the model goes on as it likes"""
    assert play([START, *encode("what"), END, 1, 2]) == chosen(START, *encode("what"), END, 1, 2)


@pytest.mark.parametrize("result", ["", "0", "False", "None", " 7 "])
def test_every_other_result_counts(result):
    """an empty string and a 0 are results"""
    steps = play([START, 49, END] + [1] * (len(result) + 3), tool=lambda code: result)
    assert steps[3:] == forced(OUT, *encode(result), OUT_END) + chosen(1)


def test_what_the_tool_is_asked():
    """once per call, with all of the code decoded in one piece, empty code included, at python_end only"""
    decoded, asked = [], []

    def record(ids: list[int]) -> str:
        decoded.append(list(ids))
        return decode(ids)

    dispatcher = Dispatcher(SPECIAL, encode, record, lambda code: asked.append(code))
    for token in [7, START, 49, 50, START, 51, 52]:  # the second start drops 49, 50
        dispatcher.next(token)
    assert not asked
    for token in [END, 53, END, START, END]:  # the second end closes nothing
        dispatcher.next(token)
    assert decoded == [[51, 52], []]
    assert asked == [decode([51, 52]), ""]


def test_two_calls():
    """the code of the first call is not part of the second"""
    steps = play([START, *encode("1+1"), END, 0, 0, 0, START, *encode("2"), END, 0, 0, 0])
    assert steps[-3:] == forced(OUT, *encode("2"), OUT_END)


@pytest.mark.parametrize("last", [STOP, BOS])
def test_done(last):
    """assistant_end or bos ends the sequence, and is appended as chosen"""
    dispatcher = Dispatcher(SPECIAL, encode, decode)
    assert not dispatcher.done
    dispatcher.next(1)
    assert not dispatcher.done
    assert dispatcher.next(last) == (last, 1)
    assert dispatcher.done


def test_done_inside_an_open_call():
    """a model may stop in the middle of its code"""
    dispatcher = Dispatcher(SPECIAL, encode, decode)
    for token in (START, 49, STOP):
        dispatcher.next(token)
    assert dispatcher.done


def test_the_special_ids_are_copied():
    """changing the dict later changes nothing, and it is left as it was"""
    special = dict(SPECIAL)
    dispatcher = Dispatcher(special, encode, decode)
    assert special == SPECIAL
    special.clear()
    assert dispatcher.next(STOP) == (STOP, 1)
    assert dispatcher.done


def test_more_names_than_needed():
    """the whole tokenizer's dict may be passed"""
    assert Dispatcher(SPECIAL | {"user_start": 101}, encode, decode).next(101) == (101, 1)


@pytest.mark.parametrize("name", SPECIAL)
def test_every_special_token_is_needed(name):
    """a missing one is named"""
    with pytest.raises(ValueError, match=rf"special .*lacks {name}$"):
        Dispatcher({key: value for key, value in SPECIAL.items() if key != name}, encode, decode)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Dispatcher(list(SPECIAL), encode, decode), "special"),
        (lambda: Dispatcher(SPECIAL, "utf-8", decode), "encode"),
        (lambda: Dispatcher(SPECIAL, encode, None), "decode"),
        (lambda: Dispatcher(SPECIAL, encode, decode, "calculate"), "tool"),
        (lambda: Dispatcher(SPECIAL, encode, decode).next(1.0), "sampled"),
    ],
)
def test_wrong_types(call, name):
    """wrong types are refused with a message that names the argument"""
    with pytest.raises(TypeError, match=rf"^{name} should"):
        call()
