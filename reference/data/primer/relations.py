"""The relations that can be asked about, with their phrasings: statements, questions, held-out questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reference.data.primer.facts import CAPITALS, COLORS, OPPOSITES


@dataclass(frozen=True)
class Relation:
    """A table of facts x -> y and the ways to say and to ask them; {x} and {y} stand for the two."""

    name: str
    table: Mapping[str, str]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    held_out: tuple[str, ...]  # questions that appear in no training text at all
    answer: str  # as chats give it


CAPITAL = Relation(
    "capitals",
    CAPITALS,
    statements=(
        "The capital of {x} is {y}.",
        "{y} is the capital of {x}.",
        "The capital city of {x} is called {y}.",
        "{x} is a country, and its capital is {y}.",
        "The city of {y} is the capital of {x}.",
        "If you travel to {x}, visit the capital, {y}.",
        "The government of {x} sits in {y}, the capital.",
        "{y} is a large city in {x}. It is the capital.",
        "Everybody in {x} knows the capital, {y}.",
        "The map of {x} shows the capital {y} as a star.",
    ),
    questions=(
        "What is the capital of {x}?",
        "What's the capital of {x}?",
        "Which city is the capital of {x}?",
        "What is the capital city of {x}?",
        "Tell me the capital of {x}.",
        "Name the capital of {x}.",
        "Do you know the capital of {x}?",
        "What city is the capital of {x}?",
        "The capital of {x} is which city?",
        "Can you tell me the capital of {x}?",
        "What is the name of the capital of {x}?",
        "{x} has which capital?",
        "I am looking for the capital of {x}.",
        "Which capital does {x} have?",
        "For the country {x}, what is the capital?",
        "Say the capital of {x}.",
        "My question is about {x}. What is its capital?",
        "Where does the government of {x} sit?",
        "What is {x}'s capital?",
        "Capital of {x}?",
        "Please tell me the capital of {x}.",
        "Please say what the capital of {x} is.",
        "Could you name the capital of {x}?",
        "Could you tell me the capital city of {x}?",
        "I want to know the capital of {x}.",
        "I would like to hear the capital city of {x}.",
        "Which city is the capital of the country {x}?",
        "What would you say is the capital of {x}?",
    ),
    held_out=(
        "Please name the capital city of {x}.",
        "Which city is the capital city of {x}?",
        "I would like to know the capital of {x}.",
        "What is the capital of the country {x}?",
        "Could you say what the capital of {x} is?",
    ),
    answer="The capital of {x} is {y}.",
)

COLOR = Relation(
    "colours",
    COLORS,
    statements=(
        "The color of {x} is {y}.",
        "Look at {x}: the color is {y}.",
        "When I think of {x}, I see the color {y}.",
        "In the picture, {x} is painted {y}.",
        "The usual color of {x} is {y}.",
        "Children draw {x} in {y}.",
        "As everyone knows, {x} is {y}.",
        "The paint has the color of {x}, which is {y}.",
        "To paint {x}, take the color {y}.",
        "You can see that {x} is {y}.",
    ),
    questions=(
        "What color is {x}?",
        "What is the color of {x}?",
        "Which color is {x}?",
        "Which color does {x} have?",
        "What color does {x} have?",
        "Tell me the color of {x}.",
        "Name the color of {x}.",
        "Do you know the color of {x}?",
        "Do you know what color {x} is?",
        "Can you tell me the color of {x}?",
        "I want to paint {x}. Which color do I take?",
        "I want to draw {x}. What color do I need?",
        "The color of {x} is what?",
        "Say the color of {x}.",
        "In which color would you paint {x}?",
        "What is the usual color of {x}?",
        "My question is about {x}. What color is it?",
        "When you see {x}, what color is it?",
        "Is there a color for {x}?",
        "Color of {x}?",
        "Please tell me the color of {x}.",
        "Please say which color {x} is.",
        "Could you tell me what color {x} is?",
        "Could you name the color of {x}?",
        "I want to know the color of {x}.",
        "I would like to hear what color {x} has.",
        "What is the color that {x} has?",
        "When you paint {x}, which color do you need?",
    ),
    held_out=(
        "Please tell me what color {x} is.",
        "What is the usual color that {x} has?",
        "I would like to know the color of {x}.",
        "Could you say which color {x} is?",
        "When you draw {x}, which color do you take?",
    ),
    answer="The color of {x} is {y}.",
)

OPPOSITE = Relation(
    "opposites",
    OPPOSITES | {y: x for x, y in OPPOSITES.items()},
    statements=(
        "The opposite of {x} is {y}.",
        "{x} is the opposite of {y}.",
        "What is not {x} may be {y}, its opposite.",
        "{x} and {y} are opposites.",
        "Turn {x} around and you get {y}.",
        "The word {x} has an opposite: {y}.",
        "{y} means the opposite of {x}.",
        "First it was {x}, then it was the opposite, {y}.",
        "If you look for the opposite of {x}, the word is {y}.",
        "Some say {x}, others say the opposite, {y}.",
    ),
    questions=(
        "What is the opposite of {x}?",
        "What's the opposite of {x}?",
        "Which word is the opposite of {x}?",
        "Tell me the opposite of {x}.",
        "Name the opposite of {x}.",
        "What word means the opposite of {x}?",
        "Do you know the opposite of {x}?",
        "Can you tell me the opposite of {x}?",
        "The opposite of {x} is what?",
        "Give me the opposite of {x}.",
        "Say the opposite of {x}.",
        "What is the opposite of the word {x}?",
        "I am looking for the opposite of {x}.",
        "My word is {x}. What is its opposite?",
        "{x} is the opposite of which word?",
        "Which word has {x} as its opposite?",
        "If it is not {x} but the opposite, what is it?",
        "What do you get when you turn {x} around?",
        "Find the opposite of {x}.",
        "Opposite of {x}?",
        "Please tell me the opposite of {x}.",
        "Please say what the opposite of {x} is.",
        "Please find the opposite of {x}.",
        "Could you name the opposite of {x}?",
        "Could you tell me the opposite of {x}?",
        "I want to know the opposite of {x}.",
        "I would like to hear the opposite of {x}.",
        "What is the opposite of this word, {x}?",
        "Which word means the opposite of my word, {x}?",
    ),
    held_out=(
        "Please name the opposite of {x}.",
        "Which word is the opposite of the word {x}?",
        "I would like to know the opposite of {x}.",
        "Could you say what the opposite of {x} is?",
        "What is the opposite of my word, {x}?",
    ),
    answer="The opposite of {x} is {y}.",
)

RELATIONS = (CAPITAL, COLOR, OPPOSITE)
