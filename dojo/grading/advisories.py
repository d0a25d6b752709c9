"""What a person should look at in a submission. Seen in the source without running it; told, never charged."""

from __future__ import annotations

import ast

from dojo.curriculum import Kata

FUSED = {  # library functions that do a whole part
    "scaled_dot_product_attention": "attention",
    "multi_head_attention_forward": "attention",
    "MultiheadAttention": "attention",
    "flex_attention": "attention",
    "rms_norm": "rmsnorm",
    "RMSNorm": "rmsnorm",
    "Muon": "muon",
}
OWN = {"reference", "dojo", "katas", "tests"}
GRADING = {"pytest", "_pytest", "unittest", "pluggy"}
ODD = {
    "builtins": "the interpreter's own names", "ctypes": "memory by its address", "gc": "all objects in memory",
    "importlib": "loading by name", "inspect": "the stack", "marshal": "code as bytes", "multiprocessing": "processes",
    "os": "the system", "pathlib": "files", "pickle": "code as bytes", "resource": "limits", "shutil": "files",
    "signal": "signals", "socket": "the network", "subprocess": "other programs", "sys": "the interpreter",
    "tempfile": "files", "threading": "threads", "atexit": "what runs at the end", "urllib": "the network",
    "http": "the network", "requests": "the network", "linecache": "files", "traceback": "the stack",
}  # fmt: skip
CALLED = {
    "eval": "runs text as code", "exec": "runs text as code", "compile": "runs text as code",
    "__import__": "loads by name", "open": "opens files", "globals": "reaches for the module's names",
}  # fmt: skip
ATTRIBUTES = {
    "_getframe": "reads the stack", "f_back": "reads the stack", "f_globals": "reads the stack",
    "f_locals": "reads the stack", "modules": "reaches into sys.modules", "environ": "reads the environment",
    "getenv": "reads the environment", "__subclasses__": "walks through all classes", "__closure__": "opens closures",
    "_exit": "ends the process", "manual_seed": "sets the random seed",
}  # fmt: skip
ODD_TEXT = ("/proc/", "reference/parts", "reference.parts", "GRADING", "AUTOGRADER")
METHODS = {"__torch_function__": "takes over torch's functions", "__eq__": "decides what is equal"}


def advisories(kata: Kata, source: str) -> tuple[str, ...]:
    """A sentence for each thing, with the lines where it stands; none where the source is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    seen: dict[str, list[int]] = {}
    for node in nodes:
        for sentence in _of(node, kata):
            seen.setdefault(sentence, []).append(getattr(node, "lineno", 0))
    return tuple(f"{sentence} (line {', '.join(map(str, sorted(set(lines))[:5]))})" for sentence, lines in seen.items())


def _of(node: ast.AST, kata: Kata) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [told for alias in names if (told := _imported(alias.name))]
        case ast.ImportFrom(module=module, names=names, level=level):
            fused = [told for alias in names if (told := _fused(alias.name, kata))]
            return [*fused, *filter(None, [_imported("reference" if level else module or "")])]
        case ast.Attribute(attr=name) if name in ATTRIBUTES:
            return [f"{name}: {ATTRIBUTES[name]}"]
        case ast.Attribute(attr=name):
            return list(filter(None, [_fused(name, kata)]))
        case ast.Name(id=name, ctx=ast.Load()) if name in CALLED:
            return [f"{name}: {CALLED[name]}"]
        case ast.FunctionDef(name=name) if name in METHODS:
            return [f"{name}: {METHODS[name]}"]
        case ast.Constant(value=str(text)) if any(odd in text for odd in ODD_TEXT):
            return [f"names {text[:60]!r}"]
    return []


def _imported(module: str) -> str:
    top = module.partition(".")[0]
    if top in OWN:
        return f"imports this project's {top}, which is not there when it is graded"
    if top in GRADING:
        return f"imports {top}"
    return f"imports {top}: {ODD[top]}" if top in ODD else ""


def _fused(name: str, kata: Kata) -> str:
    """Said of a name that the code uses and does not define: rms_norm, too, is called by torch.nn.functional's."""
    return f"uses {name}, a library function that does the whole of this kata" if FUSED.get(name) == kata.name else ""
