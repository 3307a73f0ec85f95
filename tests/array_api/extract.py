"""Reads the array API standard and writes down, as data, what it asks: ``2025_12.json``.

    python tests/array_api/extract.py CHECKOUT/array-api

CHECKOUT is a clone of github.com/data-apis/array-api-tests with its submodule. The file holds the
signature of every function and method, the attributes, the promotion tables, and the special cases
of the elementwise functions as Python expressions: what must hold of the operands, and what the
result is then. A sentence that cannot be read is an error, unless it leaves the result open.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

OPEN = re.compile(
    r"behavior is|unspecified and|real component of|implementation[- ]dependent,"
    "|of the returned array must equal|rule already stated"
)
CODE = r"``([^`]+)``"
POSITIVE, NEGATIVE = (
    rf"{CODE} is a {w} (?:\(.*?\) )?finite number" for w in ("positive", "negative")
)
CLAUSES = {  # a condition -> its expression
    rf"either {CODE} or {CODE} is {CODE}": "(same({1}, {3}) | same({2}, {3}))",
    rf"{CODE} is {CODE} or {CODE} is {CODE}": "(same({1}, {2}) | same({3}, {4}))",
    rf"{CODE}, {CODE}, {CODE}, or {CODE} is {CODE}":
        "(same({1}, {5}) | same({2}, {5}) | same({3}, {5}) | same({4}, {5}))",
    rf"{CODE}, {CODE}, {CODE}, and {CODE} are all {CODE}":
        "same({1}, {5}) & same({2}, {5}) & same({3}, {5}) & same({4}, {5})",
    rf"{CODE} or {CODE} is {CODE}": "(same({1}, {3}) | same({2}, {3}))",
    rf"{CODE} and {CODE} have the same mathematical sign": "(negative({1}) == negative({2}))",
    rf"{CODE} and {CODE} have different mathematical signs": "(negative({1}) != negative({2}))",
    "are both nonzero finite numbers": "nonzero(x1) & nonzero(x2)",
    rf"{CODE} is (?:either )?a finite number or {CODE}": "(isfinite({1}) | same({1}, {2}))",
    rf"{CODE} is (?:either )?{CODE} or {CODE}": "(same({1}, {2}) | same({1}, {3}))",
    rf"the sign bit of {CODE} is ``1``": "negative({1})",
    rf"the sign bit of {CODE} is ``0``": "~negative({1})",
    rf"{CODE} (?:is not equal to|does not equal) {CODE}": "({1} != {2})",
    rf"{CODE} equals {CODE}": "({1} == {2})",
    rf"{CODE} is greater than {CODE}": "({1} > {2})",
    rf"{CODE} is less than {CODE}": "({1} < {2})",
    rf"{CODE} is not {CODE}": "~same({1}, {2})",
    rf"{CODE}(?: is)? {CODE}": "same({1}, {2})",
    rf"{CODE} is a nonzero finite number": "nonzero({1})",
    rf"{CODE} is a nonzero number": "({1} != 0)",
    rf"{CODE} is a finite number": "isfinite({1})",
    POSITIVE: "isfinite({1}) & ({1} > 0)",
    NEGATIVE: "isfinite({1}) & ({1} < 0)",
    rf"{CODE} is any value(?: \(including ``NaN``\)|, including ``NaN``)?": "anything({1})",
    rf"{CODE} is an odd integer value": "odd({1})",
    rf"{CODE} is not an odd integer value": "~odd({1})",
    rf"{CODE} is not an integer value": "~whole({1})",
    rf"{CODE} is already integer-valued": "whole({1})",
    rf"two integers are equally close to {CODE}": "halfway({1})",
}  # fmt: skip
PART = r"([+±-]?[^ +-]+)"
RESULTS = {  # a result -> its expression, a pair for a complex number
    "``NaN`` with a sign bit of ``1``": "-nan",
    "``NaN`` with a sign bit of ``0``": "+nan",
    "the even integer closest to ``x_i``": "even(x)",
    "a (positive|negative) mathematical sign": "{1}_sign",
    "a (positive|negative) mathematical sign, unless the result is ``NaN``": "{1}_sign",
    r"``\+(infinity|0) \* cis\(b\)``": "{1}*cos(b), {1}*sin(b)",
    r"``\+(infinity|0) \* cis\(b\) - 1.0``": "{1}*cos(b) - 1.0, {1}*sin(b)",
    rf"``{PART} ([+±-]) (\S+?) ?j(/\d)?``": "pair",
    rf"(?:an implementation-dependent approximation to |equal to |equivalent to )?{CODE}": "{1}",
}


def term(text: str) -> str:
    """An operand or a number: ``x1_i`` -> ``x1``, ``-3π/4`` -> ``-3*pi/4``."""
    text = re.sub(r"\b(x[12]?|min|max)_i\b", r"\1", text.strip().removeprefix("+"))
    text = re.sub(r"\|(\w+)\|", r"abs(\1)", text)
    text = re.sub(r"\binfinity\b", "inf", text).replace("NaN", "nan")
    text = re.sub(r"(\d)π", r"\1*π", text).replace("π", "pi")
    text = re.sub(r"\b([01])\b(?!\.)", r"\1.0", text) if re.fullmatch(r"-?[01]", text) else text
    ast.parse(text, mode="eval")
    return text


def filled(template: str, match: re.Match[str]) -> str:
    """The template with the groups of a match as terms."""
    return re.sub(r"\{(\d)\}", lambda m: term(match[int(m[1])]), template)


def condition(text: str) -> str:
    """What must hold of the operands."""
    parts, rest = [], text
    while rest:
        for pattern, template in CLAUSES.items():
            if match := re.match(pattern, rest):
                parts.append(filled(template, match))
                rest = re.sub(r"^(,? and |, |,$)", "", rest[match.end() :])
                break
        else:
            raise ValueError(f"no condition: {rest!r} in {text!r}")
    return " & ".join(parts)


def result(text: str) -> str:
    """What the result is; a sign that is left open is written ``+-``."""
    text, _, note = text.partition(" (")
    text = text.partition(", even if")[0].partition(". If the result")[0].rstrip(".")
    for pattern, template in RESULTS.items():
        match = re.fullmatch(pattern, text)
        if match is None:
            continue
        if template != "pair":
            return filled(template, match)
        real, sign, imaginary, over = match.groups()
        parts = {"real": real, "imaginary": sign + imaginary + (over or "")}
        return ", ".join(
            "+-" * ("±" in part or f"{which} component" in note or "signs" in note)
            + term(part.lstrip("±"))
            for which, part in parts.items()
        )
    raise ValueError(f"no result: {text!r}")


def special_cases(text: str) -> dict[str, list[str]]:
    """``"condition -> result"`` for real and for complex operands."""
    found: dict[str, list[str]] = {"real": [], "complex": []}
    kind = "real"
    for line in map(str.strip, text.splitlines()):
        if line.startswith(("For complex floating-point operands, let", "When at least one of")):
            kind = "complex"
        match = re.match(r"-\s+If (.*), the result (?:is|has) (.*)", line)
        if match and not OPEN.search(line.partition("(**note")[0]):
            found[kind].append(f"{condition(match[1])} -> {result(match[2])}")
        elif re.match(r"-\s+If ", line) and not OPEN.search(line):
            raise ValueError(f"not read: {line!r}")
    return {kind: cases for kind, cases in found.items() if cases}


def signature(node: ast.FunctionDef) -> str:
    """The parameters without annotations."""
    for arg in ast.walk(node.args):
        if isinstance(arg, ast.arg):
            arg.annotation = None
    return ast.unparse(node.args)


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """The public functions of a file of stubs."""
    found = {n.name: n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}
    return {k: v for k, v in found.items() if not k.startswith("_") or k.endswith("__")}


def extract(repository: Path) -> dict[str, Any]:
    """All that the standard says, by file of the stubs."""
    stubs = repository / "src/array_api_stubs/_2025_12"
    tables = repository / "spec/2025.12/API_specification/type_promotion.rst"
    (array,) = (
        n for n in ast.parse((stubs / "array_object.py").read_text()).body
        if isinstance(n, ast.ClassDef)
    )  # fmt: skip
    members = [n for n in array.body if isinstance(n, ast.FunctionDef) and n.name != "__init__"]
    data: dict[str, Any] = {
        "constants": _names(stubs / "constants.py"),
        "attributes": sorted(n.name for n in members if n.decorator_list),
        "methods": {n.name: signature(n) for n in members if not n.decorator_list},
    }
    cases = {}
    for path in sorted(stubs.glob("*.py")):
        if path.stem in ("__init__", "_types", "array_object", "constants", "data_types"):
            continue
        found = functions(path)
        data[path.stem] = {name: signature(node) for name, node in found.items()}
        for name, node in found.items():
            if path.stem == "elementwise_functions":
                cases[name] = special_cases(ast.get_docstring(node) or "")
    data["promotion"] = promotions(tables.read_text())
    return {**data, "special_cases": {name: c for name, c in cases.items() if c}}


def promotions(text: str) -> list[str]:
    """``"int8 uint8 int16"``: both operands and the result, for every cell of the tables."""
    kinds = {"i": "int", "u": "uint", "f": "float", "c": "complex"}

    def spelled(code: str) -> str:
        return f"{kinds[code[0]]}{8 * int(code[1:])}"

    found, header = [], []
    for line in text.splitlines():
        cells = [c.strip().strip("*") for c in line.split("|")[1:-1]]
        if cells and not cells[0]:
            header = cells[1:]
        elif cells:
            found += [
                " ".join(map(spelled, (cells[0], top, cell)))
                for top, cell in zip(header, cells[1:])
            ]
    return found


def _names(path: Path) -> list[str]:
    module = ast.parse(path.read_text())
    (names,) = (
        n.value
        for n in module.body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    )
    return list(ast.literal_eval(names))


if __name__ == "__main__":
    target = Path(__file__).parent / "2025_12.json"
    target.write_text(json.dumps(extract(Path(sys.argv[1])), indent=1, ensure_ascii=False) + "\n")
