"""Every name of the array API standard 2025.12 is there, with the standard's signature."""

from __future__ import annotations

import ast
import math
from inspect import Parameter, Signature, signature
from typing import Any

import pytest
from array_api.calls import EXTENSIONS, FILES, STANDARD

import polyback as pb

PLACED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
INFO = [name for name in STANDARD["info"] if not name.startswith("__")]


def wanted(text: str) -> Signature:
    """The signature that a list of parameters, as it stands in a ``def``, describes."""
    scope: dict[str, Any] = {}
    exec(f"def function({text}): ...", scope)
    return signature(scope["function"])


def check(ours: Any, text: str) -> None:
    """Raises AssertionError unless every call that the standard allows means the same here."""
    mine, standard = list(signature(ours).parameters.values()), wanted(text).parameters
    for place, want in enumerate(standard.values()):
        if want.kind is Parameter.POSITIONAL_ONLY:  # its name is nobody's business
            assert mine[place].kind in PLACED, want
            assert mine[place].default == want.default
            continue
        have = next(
            (
                p
                for p in mine
                if p.name == want.name
                or (p.kind == want.kind and p.kind is Parameter.VAR_POSITIONAL)
            ),
            None,
        )
        assert have is not None, f"{want} is missing"
        assert have.kind == want.kind or (
            want.kind is Parameter.KEYWORD_ONLY and have.kind is Parameter.POSITIONAL_OR_KEYWORD
        ), (have, want)
        assert have.default == want.default, (have, want)
        if want.kind is Parameter.POSITIONAL_OR_KEYWORD:
            assert mine[place] is have
    extra = [p for p in mine[len(standard) :] if p.name not in standard]
    assert all(p.kind is Parameter.KEYWORD_ONLY and p.default is not p.empty for p in extra), extra


@pytest.mark.parametrize("name", [n for file in FILES for n in STANDARD[file]])
def test_functions(name: str) -> None:
    (text,) = (STANDARD[file][name] for file in FILES if name in STANDARD[file])
    check(getattr(pb, name), text)


@pytest.mark.parametrize(("extension", "name"), [(e, n) for e in EXTENSIONS for n in STANDARD[e]])
def test_functions_of_extensions(extension: str, name: str) -> None:
    check(getattr(getattr(pb, extension), name), STANDARD[extension][name])


def test_aliases_are_one_function() -> None:
    for name in STANDARD["linear_algebra_functions"]:
        assert getattr(pb.linalg, name) is getattr(pb, name)


@pytest.mark.parametrize("name", STANDARD["methods"])
def test_methods(name: str) -> None:
    method = getattr(pb.Tensor, name)
    text = STANDARD["methods"][name]
    check(method, text)


@pytest.mark.parametrize("name", INFO)
def test_inspection(name: str) -> None:
    check(pb.__array_namespace_info__, STANDARD["info"]["__array_namespace_info__"])
    check(getattr(pb.__array_namespace_info__(), name), STANDARD["info"][name])


def test_attributes_constants_and_types() -> None:
    x = pb.zeros((2, 3))
    values = {name: getattr(x, name) for name in STANDARD["attributes"]}
    assert values.pop("T").shape == values.pop("mT").shape == (3, 2)
    assert values == {
        "device": x.device, "dtype": pb.float32, "ndim": 2, "shape": (2, 3), "size": 6,
    }  # fmt: skip
    constants = {name: getattr(pb, name) for name in STANDARD["constants"]}
    assert math.isnan(constants.pop("nan"))
    assert constants == {"e": math.e, "inf": math.inf, "newaxis": None, "pi": math.pi}
    for dtype in pb.__array_namespace_info__().dtypes().values():
        assert getattr(pb, dtype.name) is dtype
    assert ast.literal_eval(repr(pb.__array_api_version__)) == "2025.12"
