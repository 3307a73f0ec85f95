"""Tiles of accumulators in the vector registers of a CPU: the text of a product's inner loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.geometry import Machine
from polyback.simt.vectors import vector_words

UNROLLED: Final = 4  # steps of k per turn of a loop
BLOCK: Final = 64  # terms of a chain of additions; the pieces are added up


@final
@dataclass(frozen=True)
class Tile:
    """``rows`` lines of ``vectors`` vectors of ``lanes`` elements."""

    rows: int
    lanes: int
    vectors: int = 2

    @property
    def width(self) -> int:
        """Columns."""
        return self.vectors * self.lanes

    def words(self, kind: DType, dialect: Dialect, a: str, b: str) -> dict[str, str]:
        """Holes of a template: ``step`` adds for one k the products of a line's elements ``a`` (of
        {i}) and the vectors at address ``b`` (of {j}, in elements); it is the body of a macro.
        ``clear`` declares the accumulators as ``zero``, ``accumulate`` adds them to ``total``."""
        wide, n, name = dialect.wide, self.lanes, dialect.types[kind.code]
        assert wide is not None
        words, vector = vector_words(dialect, kind, n), dialect.type(kind, n)
        step = []
        for j in range(self.vectors):
            load = wide.load.format(p=b.format(j=j * n), memory=dialect.memory, **words)
            step.append(f"{vector} b{j} = {load};")
        for i in range(self.rows):
            step.append(f"{name} a{i} = {a.format(i=i)};")
            for j in range(self.vectors):
                product = dialect.multiply_add.format(a=f"a{i}", b=f"b{j}", c=f"c{i}_{j}")
                step.append(f"c{i}_{j} = {product};")
        places = [(i, j) for i in range(self.rows) for j in range(self.vectors)]
        clear = [f"{vector} c{i}_{j} = zero;" for i, j in places]
        add = [f"total[{i}][{j}] += c{i}_{j};" for i, j in places]
        return {
            "V": vector, "declare": wide.declare.format(**words), "contract": dialect.contract,
            "rows": str(self.rows), "vectors": str(self.vectors), "width": str(self.width),
            "lanes": str(n), "block": str(BLOCK), "unrolled": str(UNROLLED),
            "step": " \\\n".join(" " * 4 + line for line in step),
            "steps": " ".join(f"STEP({u})" for u in range(UNROLLED)),
            "clear": "\n".join(" " * 8 + line for line in clear),
            "accumulate": "\n".join(" " * 8 + line for line in add),
            "spill": wide.store.format(x="total[i][j]", p=f"line + j * {n}", memory="", **words),
        }  # fmt: skip


def tile(dtype: DType, machine: Machine) -> Tile:
    """24 accumulators where there are 32 registers (vectors of 64 bytes), 12 where there are 16."""
    wide = machine.vector_bytes >= 64
    return Tile(12 if wide else 6, max(2, min(16, machine.vector_bytes // dtype.itemsize)))
