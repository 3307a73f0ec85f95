"""Loading and storing vectors of a program's values, whole or in part.

The last elements of a row, fewer than a vector, pass through an array in private memory: every
element is computed by the same statements, so its bits do not depend on its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect, Wide
from polyback.simt.expression import Writer
from polyback.simt.geometry import SPLAT


@final
@dataclass
class Vectors:
    """Text that moves vectors of ``writer.lanes`` elements; ``main`` is the type masks go with."""

    writer: Writer
    main: DType
    helpers: dict[str, str] = field(default_factory=dict)

    @property
    def _wide(self) -> Wide:
        wide = self.writer.dialect.wide
        assert wide is not None
        return wide

    def kind(self, dtype: DType) -> str:
        """The type of a vector."""
        return self.writer.register(dtype, self.main)

    def loads(
        self, name: str, dtype: DType, mode: str, pointer: str, at: str, count: str
    ) -> list[str]:
        """Lines that declare ``name`` and load it from ``pointer + at``; ``count``: how many
        elements there are at most."""
        kind, lanes = self.kind(dtype), self.writer.lanes
        if mode == SPLAT:
            mask = "-" if dtype.kind == "bool" else ""
            return [f"{kind} {name} = {mask}{pointer}[0];"]
        whole, some = self.load(dtype, f"{pointer} + {at}"), self.partial_load(dtype)
        return [
            f"{kind} {name};",
            f"if ({count} >= {lanes}) {name} = {whole};",
            f"else {name} = {some}({pointer} + {at}, {count});",
        ]

    def stores(
        self, value: str, dtype: DType, pointer: str, at: str, count: str, stream: bool = False
    ) -> list[str]:
        """Lines that store ``value``; with ``stream`` past the caches, to aligned vectors."""
        some = self.partial_store(dtype)
        whole = self.store(dtype, f"{pointer} + {at}", value)
        if stream and dtype.kind != "bool":
            form = self._declared(dtype, None)
            whole = self._wide.stream.format(p=f"{pointer} + {at}", x=value, **form)
        return [
            f"if ({count} >= {self.writer.lanes}) {whole};",
            f"else {some}({pointer} + {at}, {value}, {count});",
        ]

    def load(self, dtype: DType, pointer: str, memory: str | None = None) -> str:
        """A whole vector; bytes of bool become a mask. ``memory`` is "" for private memory."""
        form = self._declared(dtype, memory)
        text = self._wide.load.format(p=pointer, **form)
        if dtype.kind != "bool":
            return text
        kind = self.writer.dialect.types[f"i{8 * self.main.itemsize}"]
        return f"-{self._wide.convert.format(type=kind, n=self.writer.lanes, x=text)}"

    def store(self, dtype: DType, pointer: str, value: str, memory: str | None = None) -> str:
        """A whole vector; a mask becomes bytes of 0 and 1."""
        if dtype.kind == "bool":
            kind = self.writer.dialect.types["b8"]
            value = self._wide.convert.format(type=kind, n=self.writer.lanes, x=f"{value} & 1")
        return self._wide.store.format(p=pointer, x=value, **self._declared(dtype, memory))

    def _declared(self, dtype: DType, memory: str | None) -> dict[str, str]:
        """The words of a load or store, whose type is declared as a helper."""
        dialect = self.writer.dialect
        words = vector_words(dialect, dtype, self.writer.lanes)
        self.helpers[f"vector {dtype.code}"] = self._wide.declare.format(**words)
        return words | {"memory": dialect.memory if memory is None else memory}

    def partial_load(self, dtype: DType) -> str:
        """The helper that loads ``count`` elements; the other lanes are 0."""
        name, dialect, n = f"pb_load_some_{dtype.code}", self.writer.dialect, self.writer.lanes
        lane = dialect.types[dtype.code]
        self.helpers[name] = f"""\
{dialect.outlined}{self.kind(dtype)} {name}({dialect.memory}const {lane} *p, int count)
{{
    {lane} some[{n}];
    for (int k = 0; k < {n}; k++) some[k] = k < count ? p[k] : 0;
    return {self.load(dtype, "some", "")};
}}"""
        return name

    def partial_store(self, dtype: DType) -> str:
        """The helper that stores the first ``count`` lanes."""
        name, dialect, n = f"pb_store_some_{dtype.code}", self.writer.dialect, self.writer.lanes
        lane = dialect.types[dtype.code]
        self.helpers[name] = f"""\
{dialect.outlined}void {name}({dialect.memory}{lane} *p, {self.kind(dtype)} x, int count)
{{
    {lane} some[{n}];
    {self.store(dtype, "some", "x", "")};
    for (int k = 0; k < {n} && k < count; k++) p[k] = some[k];
}}"""
        return name

    def trim(self, dtype: DType, rest: str) -> str:
        """The helper that replaces the lanes from ``count`` on by ``rest``."""
        name, dialect, n = f"pb_trim_{dtype.code}", self.writer.dialect, self.writer.lanes
        lane, kind = dialect.types[dtype.code], self.kind(dtype)
        self.helpers[name] = f"""\
{dialect.outlined}{kind} {name}({kind} x, int count)
{{
    {lane} some[{n}];
    {self.store(dtype, "some", "x", "")};
    for (int k = count; k < {n}; k++) some[k] = {rest};
    return {self.load(dtype, "some", "")};
}}"""
        return name


def vector_words(dialect: Dialect, dtype: DType, lanes: int) -> dict[str, str]:
    """What the formats of :class:`Wide` name."""
    return {"type": dialect.types[dtype.code], "n": str(lanes), "size": str(dtype.itemsize)}
