"""Kata 09, tools. The lesson is in README.md beside this file."""

from __future__ import annotations


def calculate(expression: str) -> str | None:
    """The value of an expression that a language model wrote, as Python would print it; None if it has none.

    Commas are dropped first, everywhere. Then an expression is one of two things:

        sum      = product { ("+" | "-") product }
        product  = operand { ("*" | "/") operand }
        operand  = number | "-" operand | "(" sum ")"
        number   : ASCII decimal digits with at most one point, as Python writes them: 12, 3.5, .5, 2.; not 007

        count    = literal "." "count" "(" literal ")"         as in 'strawberry'.count('r')
        literal  : '...' or "...", without prefix, backslash or newline

    Spaces may stand between tokens and at both ends.

    Args:
        expression: what the model wrote: anything at all.

    Returns:
        The value; or None for anything else: an argument that is not a str, more than 200 characters (counted as
        given), an operand inside more than 50 open parentheses and minus signs together, a division by zero, unary
        plus, **, //, %, names, other calls, other white space outside a literal.

        Never raises, never uses eval, needs no more than milliseconds.
    """
    raise NotImplementedError("kata 09 tools: write calculate(); the lesson is katas/tools/README.md")


class Dispatcher:
    """Watches one sequence while it is sampled, asks the tool when the model calls it, and forces the result upon it.

    Attributes:
        done: False until assistant_end or bos was appended, then True.
    """

    def __init__(self, special: dict[str, int], encode, decode, tool=calculate) -> None:
        """A dispatcher at the beginning of its sequence.

        Args:
            special: ids by name, at least bos, assistant_end, python_start, python_end, output_start, output_end.
            encode: from a str to a list of ids.
            decode: from a list of ids to a str.
            tool: from the code to its result, a str, or to None.

        Raises:
            ValueError: one of the six names is missing in special.
        """
        raise NotImplementedError("kata 09 tools: write Dispatcher(); the lesson is katas/tools/README.md")

    def next(self, sampled: int) -> tuple[int, int]:
        """Which token to append at this step, and whether the model chose it.

        Forced tokens first: while some wait, the next of them is appended with mask 0, and `sampled` is dropped without
        any effect. Otherwise `sampled` is appended with mask 1, and may mean something:

            python_start    begins to collect code, afresh if it was collecting already
            python_end      ends the code: decode all of it at once, ask the tool, and if the result is not None, force
                            output_start, the encoded result, output_end; without a python_start before it, nothing
            anything else   is code between the two, and only text outside

        Args:
            sampled: the token that the model sampled at this step.

        Returns:
            (token to append, mask).

        Raises:
            TypeError: sampled is not an int.
        """
        raise NotImplementedError("kata 09 tools: write Dispatcher.next(); the lesson is katas/tools/README.md")
