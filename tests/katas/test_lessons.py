"""Every lesson as its reader meets it: its length, its code, its questions, its hints, and the contract it states."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest

from dojo.curriculum import KATAS, ROOT, Kata
from dojo.stub import is_stub, original

# the public contract: what solutions of other people plug into, so it stands here once more and never changes
CONTRACT = {
    "bpe": (
        "merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]",
        "train(word_counts: dict[bytes, int], vocab_size: int) -> list[tuple[int, int]]",
        "encode(word: bytes, merges) -> list[int]",
        "decode(ids: list[int], merges) -> bytes",
    ),
    "rmsnorm": ("rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor",),
    "rope": (
        "rotary_tables(seq_len: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]",
        "apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor",
    ),
    "attention": ("causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor",),
    "muon": (
        "orthogonalize(g: Tensor, steps: int = 5) -> Tensor",
        "muon_step(weight, grad, momentum_buffer, *, lr: float, momentum: float = 0.95, steps: int = 5)"
        " -> tuple[Tensor, Tensor]",
    ),
    "loss_mask": (
        "render(messages: list[dict], special: dict[str, int], max_tokens: int | None = None)"
        " -> tuple[list[int], list[int]]",
        "masked_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor",
    ),
    "grpo": (
        "advantages(rewards: Tensor) -> Tensor",
        "policy_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor",
    ),
    "kv_cache": (
        'KVCache(n_layers, batch, n_kv_heads, head_dim, capacity, dtype=torch.float32, device="cpu")',
        ".insert(layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]",
        ".expand(batch: int) -> KVCache",
        ".reset()",
    ),
    "tools": (
        "calculate(expression: str) -> str | None",
        "Dispatcher(special: dict[str, int], encode, decode, tool=calculate)",
        ".next(sampled: int) -> tuple[int, int]",
    ),
}
WRITTEN = [kata for kata in KATAS if (kata.folder / "README.md").exists()]
each_lesson = pytest.mark.parametrize("kata", WRITTEN, ids=lambda kata: kata.name)

# runs every lesson of the JSON on stdin in a namespace of its own, and prints how each one ended
RUN_LESSONS = """
import contextlib, importlib, io, json, sys, traceback
lessons = json.load(sys.stdin)
for name in lessons:
    sys.modules[f"katas.{name}.{name}"] = importlib.import_module(f"reference.parts.{name}")
ends = {}
for name, code in lessons.items():
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, f"katas/{name}/README.md", "exec"), {"__name__": f"lesson_{name}"})
        ends[name] = ""
    except BaseException:
        ends[name] = traceback.format_exc()
print(json.dumps(ends))
"""


def lesson(kata: Kata) -> str:
    return (kata.folder / "README.md").read_text(encoding="utf-8")


def code(kata: Kata) -> str:
    """The python blocks of a lesson, on the lines where they stand, so that an error names the line of the lesson."""
    lines, inside = [], False
    for line in lesson(kata).splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def ends() -> dict[str, str]:
    """How the code of every lesson ended: "" where it ran through, otherwise the traceback."""
    lessons = json.dumps({kata.name: code(kata) for kata in WRITTEN})
    command = [sys.executable, "-c", RUN_LESSONS]
    result = subprocess.run(command, input=lessons, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@each_lesson
def test_the_code_runs(kata: Kata, ends: dict[str, str]):
    """all python blocks of a lesson run, in order, from the repository's root, with the learner's file solved"""
    assert "assert " in code(kata), "a lesson states its results by assert"
    assert not ends[kata.name], ends[kata.name]


@each_lesson
def test_the_length(kata: Kata):
    """a lesson has 600 to 1,200 words, code and pictures not counted"""
    text = re.sub(r"^```.*?^```$", "", lesson(kata), flags=re.MULTILINE | re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    words = [word for word in re.sub(r"<[^>\n]+>", " ", text).split() if re.search(r"\w", word)]
    assert 600 <= len(words) <= 1200, f"{len(words)} words"


@each_lesson
def test_the_questions(kata: Kata):
    """a lesson ends with three questions, their answers folded"""
    folded = re.findall(r"<details>(.*?)</details>", lesson(kata), flags=re.DOTALL)
    assert len(folded) == 3
    for one in folded:
        question, answer = re.fullmatch(r"\s*<summary>(.+?)</summary>(.+)", one, flags=re.DOTALL).groups()
        assert question.strip()
        assert len(answer.split()) >= 5
    assert lesson(kata).count("<details>") == lesson(kata).count("</details>") == 3


@each_lesson
def test_the_way_of_working(kata: Kata):
    """a lesson names its source, the command that runs its tests, and what to try in the real run after that"""
    text = lesson(kata)
    assert re.search(r"arXiv:\d{4}\.\d{5}", text)
    assert f"pytest katas/{kata.name}" in text
    assert "nox -s d4" in re.split(r"^#+ when it is green$", text, flags=re.MULTILINE | re.IGNORECASE)[1]


@each_lesson
def test_the_hints(kata: Kata):
    """there are three hints, numbered, a paragraph each"""
    paragraphs = (kata.folder / "hints.md").read_text(encoding="utf-8").strip()
    starts = re.findall(r"^(\d+)\. \S", paragraphs, flags=re.MULTILINE)
    assert starts == ["1", "2", "3"]
    for paragraph in re.split(r"\n\s*\n|\n(?=\d+\. )", paragraphs):
        assert re.match(r"[123]\. ", paragraph), f"a paragraph without a number: {paragraph[:40]}"


# --- the contract: the same in the stub, in the worked answer and in the lesson ---


def stated(signature: str) -> ast.FunctionDef:
    """A signature as the contract writes it, as a function."""
    function = ast.parse(f"def {signature.lstrip('.')}: pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function


def functions(source: str) -> dict[str, ast.FunctionDef]:
    """The functions of a module, a class under its own name for its __init__, and its methods under a dot and theirs.

    Names that the module gives to types are replaced by the types, and self is left out.
    """
    tree = ast.parse(source)
    types = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }

    class Spelled(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            value = types.get(node.id)
            return value if isinstance(value, (ast.Subscript, ast.BinOp)) else node

        def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
            self.generic_visit(node)
            return ast.Name("dict") if ast.unparse(node) == "dict[str, Any]" else node

    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = Spelled().visit(node)
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.args.args:
                    del method.args.args[0]
                    name = node.name if method.name == "__init__" else f".{method.name}"
                    found[name] = Spelled().visit(method)
    return found


def same_signature(one: ast.FunctionDef, contract: ast.FunctionDef) -> bool:
    """Whether parameters, their kinds and defaults are the same, and annotations wherever the contract has some."""
    ours, theirs = one.args, contract.args
    for group in ("posonlyargs", "args", "kwonlyargs"):
        pairs = getattr(ours, group), getattr(theirs, group)
        if [argument.arg for argument in pairs[0]] != [argument.arg for argument in pairs[1]]:
            return False
        for a, b in zip(*pairs, strict=True):
            if b.annotation and (not a.annotation or ast.unparse(a.annotation) != ast.unparse(b.annotation)):
                return False
    for group in ("defaults", "kw_defaults"):
        spelled = [[x and ast.unparse(x) for x in getattr(arguments, group)] for arguments in (ours, theirs)]
        if spelled[0] != spelled[1]:
            return False
    if (ours.vararg, ours.kwarg) != (None, None):
        return False
    return not contract.returns or (
        one.returns is not None and ast.unparse(one.returns) == ast.unparse(contract.returns)
    )


@each_lesson
def test_one_contract(kata: Kata):
    """stub, worked answer and lesson state the same signatures, which are those of the public contract"""
    stub = kata.file.read_bytes() if is_stub(kata) else original(kata)
    assert stub is not None, "neither the learner's file nor an earlier version of it is a stub"
    sources = {"stub": stub.decode(), "answer": kata.answer.read_text(encoding="utf-8")}
    text = re.sub(r"\s", "", lesson(kata))
    for signature in CONTRACT[kata.name]:
        name = signature.partition("(")[0]
        for where, source in sources.items():
            function = functions(source).get(name)
            assert function is not None, f"the {where} has no {name}"
            assert same_signature(function, stated(signature)), (
                f"{where}: {ast.unparse(function.args)}, not {signature}"
            )
        assert re.sub(r"\s", "", signature).lstrip(".") in text, f"the lesson does not state {signature}"


def test_the_contract_is_whole():
    """every function and class of every kata has its signature here"""
    for kata in KATAS:
        names = {signature.partition("(")[0] for signature in CONTRACT[kata.name] if not signature.startswith(".")}
        assert names == set(kata.names)
