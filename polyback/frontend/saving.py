"""Saving: tensors and whole training states in safetensors files, never as pickles.

A file is written beside its target under another name, flushed to the disk and renamed, so that at
every moment the target holds the old contents or the new ones, whole. A damaged or hostile file is
a typed error, and nothing that was to be loaded has changed then.

In a checkpoint every object's ``state_dict()`` is one entry: its tensors are tensors of the file,
named by their path (``model.layers.0.weight``), so that other readers of safetensors find them; all
else is JSON in the file's metadata.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy

from polyback.array import from_numpy
from polyback.dtype import DTYPES, DType, complex128, dtype_of
from polyback.errors import DataError, DTypeError, InvalidArgument, PolybackError
from polyback.frontend import random
from polyback.frontend.defaults import get_device
from polyback.frontend.functions.creation import Where
from polyback.frontend.tensor import Tensor

_NAMES: Final = {"bool": "BOOL", "bfloat16": "BF16", "float16": "F16", "float32": "F32",
                 "float64": "F64", "complex64": "C64"}  # fmt: skip
_DTYPES: Final = {
    _NAMES.get(d.name, d.name.replace("uint", "U").replace("int", "I")): d
    for d in DTYPES
    if d is not complex128
}
_PAIRS: Final = "polyback.complex128"  # metadata: tensors stored as pairs of float64
_TREE: Final = "polyback.checkpoint"  # metadata: the states without their tensors
_VERSION: Final = 1

Path_ = str | os.PathLike[str]


# --- files of tensors -----------------------------------------------------------------------------


def save(
    path: Path_, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors, for example a ``state_dict()``, to a safetensors file, atomically.

    Tensors may live on any devices; complex128, which the format lacks, is stored as pairs of
    float64. ``metadata``: text by name. Raises DTypeError, InvalidArgument; OSError of the disk.

    >>> import polyback as pb, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> pb.save(path, {"w": pb.asarray([1.0, 2.0])})
    >>> pb.load(path)["w"].tolist()
    [1.0, 2.0]
    """
    if not isinstance(tensors, Mapping) or not isinstance(path, (str, os.PathLike)):
        raise InvalidArgument(
            f"[save] got {type(path).__name__}, {type(tensors).__name__}; want a path, then a "
            f"dictionary of tensors: save(path, model.state_dict())"
        )
    arrays, pairs = {}, []
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not isinstance(name, str):
            raise DTypeError(
                f"[save] got {type(name).__name__}: {type(tensor).__name__}; want names with "
                f"tensors: use asarray(), or save_checkpoint() for other state"
            )
        values = tensor.numpy()
        if tensor.dtype is complex128:
            values = values.reshape(-1).view(np.float64).reshape((*tensor.shape, 2))
            pairs.append(name)
        arrays[name] = values
    texts = dict(metadata or {})
    if pairs:
        texts[_PAIRS] = json.dumps(pairs)
    if not all(isinstance(x, str) for pair in texts.items() for x in pair):
        raise InvalidArgument("[save] metadata: want text by name")
    _write_atomically(Path(path), safetensors.numpy.save(arrays, texts or None))


def load(path: Path_, *, device: Where = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on ``device``.

    Raises DataError for a file that is missing, damaged, or holds a type that polyback lacks.

    >>> import os, tempfile
    >>> import polyback as pb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     pb.save(path, {"w": pb.ones(2)})
    ...     pb.load(path)["w"].tolist()
    [1.0, 1.0]
    """
    tensors, _ = _read(Path(path), device)
    return tensors


def _read(path: Path, device: Where) -> tuple[dict[str, Tensor], dict[str, str]]:
    place = get_device(device)
    try:
        data = path.read_bytes()
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]  # without types
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
        pairs = set(json.loads(metadata.get(_PAIRS, "[]")))
        found = {name: _host_values(entry, name in pairs) for name, entry in entries}
    except (OSError, safetensors.SafetensorError, ValueError, TypeError, KeyError,
            RecursionError, MemoryError) as error:  # fmt: skip
        raise DataError(f"[load] {path}: {error}; want a whole safetensors file") from None
    return {k: Tensor(from_numpy(place, v, d)) for k, (v, d) in found.items()}, metadata


def _host_values(entry: Any, pair: bool) -> tuple[np.ndarray[Any, Any], DType]:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(f"it holds {entry['dtype']}, a type that polyback lacks")
    values = np.frombuffer(entry["data"], dtype.numpy.newbyteorder("<")).reshape(entry["shape"])
    if not pair:
        return values.astype(dtype.numpy, copy=False), dtype
    if dtype.name != "float64" or values.shape[-1:] != (2,):
        raise ValueError(f"a complex128 tensor is stored as {dtype} {values.shape}")
    return values.astype(np.float64, copy=False).view(np.complex128)[..., 0], complex128


def _write_atomically(path: Path, data: bytes) -> None:
    """All of ``data``, or what was there before, whatever happens meanwhile."""
    _remove_abandoned(path)
    spare = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with spare.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(spare, path)
    finally:
        with contextlib.suppress(OSError):
            spare.unlink()
    if sys.platform != "win32":  # the rename itself must survive a loss of power
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove_abandoned(path: Path) -> None:
    """Delete what processes that were killed while saving to ``path`` have left behind."""
    for spare in path.parent.glob(f".{path.name}.*.tmp"):
        owner = spare.name.split(".")[-2]
        if owner.isdigit() and not _is_running(int(owner)):
            with contextlib.suppress(OSError):
                spare.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# --- checkpoints ----------------------------------------------------------------------------------


def save_checkpoint(path: Path_, *, step: int = 0, **objects: Any) -> None:
    """Write the states of ``objects`` and of the default random generator to one file, atomically.

    ``objects``: anything with ``state_dict()`` and ``load_state_dict()`` (models, optimizers,
    schedules, loaders, generators), under the names that :func:`load_checkpoint` will be given, or
    plain dictionaries of tensors, numbers and text. A run that is continued from it goes on bit by
    bit as if it had not stopped. Raises InvalidArgument for state that is neither.

    >>> import polyback as pb, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
    >>> model = pb.nn.Linear(2, 1)
    >>> optimizer = pb.optim.Adam(model.parameters())
    >>> pb.save_checkpoint(path, step=7, model=model, optimizer=optimizer)
    >>> pb.load_checkpoint(path, model=model, optimizer=optimizer)
    7
    """
    if "random" in objects:
        raise InvalidArgument("[save_checkpoint] the name 'random' is the default generator's")
    tensors: dict[str, Tensor] = {}
    everything = {**objects, "random": random.default_generator()}
    _check_savable("save_checkpoint", everything)
    states = {
        name: _pack(x if isinstance(x, Mapping) else x.state_dict(), name, tensors)
        for name, x in everything.items()
    }
    tree = {"version": _VERSION, "step": int(step), "states": states}
    save(path, tensors, {_TREE: json.dumps(tree)})


def _check_savable(op: str, objects: Mapping[str, Any]) -> None:
    """Raises InvalidArgument for an object that is no dictionary and has no state."""
    for name, x in objects.items():
        if not isinstance(x, Mapping) and not hasattr(x, "load_state_dict"):
            raise InvalidArgument(
                f"[{op}] {name} is a {type(x).__name__}; want a dictionary, or something with "
                f"state_dict() and load_state_dict()"
            )


def load_checkpoint(path: Path_, **objects: Any) -> int:
    """Load what :func:`save_checkpoint` wrote into ``objects``; returns the step.

    The default random generator continues too. Names of the file that are not asked for are left
    out; a plain dictionary is filled. Raises DataError for a damaged file, InvalidArgument for a
    name that the file lacks, and what the objects' own ``load_state_dict`` raise. After an error
    every object is as it was.
    """
    _check_savable("load_checkpoint", objects)
    tensors, metadata = _read(Path(path), None)
    try:
        tree = json.loads(metadata[_TREE])
        step, states = int(tree["step"]), tree["states"]
        if tree["version"] != _VERSION:
            raise ValueError(f"its version is {tree['version']}, this polyback reads {_VERSION}")
        unpacked = {name: _unpack(state, tensors) for name, state in states.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"[load_checkpoint] {path}: not a checkpoint ({error!r})") from None
    missing = sorted(set(objects) - set(unpacked))
    if missing:
        raise InvalidArgument(
            f"[load_checkpoint] {path} holds {sorted(unpacked)}; it lacks {missing}"
        )
    targets = dict(objects)
    if "random" in unpacked:
        targets["random"] = random.default_generator()
    with _all_or_nothing(list(targets.values())):
        for name, target in targets.items():
            _load_state(path, name, target, unpacked[name])
    return step


def _load_state(path: Path_, name: str, target: Any, state: Any) -> None:
    """Raises DataError where ``state`` has another structure than the target's."""
    try:
        if isinstance(target, dict):
            target.clear()
            target.update(state)
        else:
            target.load_state_dict(state)
    except PolybackError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"[load_checkpoint] {path}: the state of {name!r} does not fit a "
            f"{type(target).__name__} ({error!r})"
        ) from error


@contextlib.contextmanager
def _all_or_nothing(targets: list[Any]) -> Iterator[None]:
    """Put every target back to its present state if the block fails."""
    before = [copy.deepcopy(t if isinstance(t, dict) else t.state_dict()) for t in targets]
    try:
        yield
    except BaseException:
        for target, state in zip(targets, before, strict=True):
            if isinstance(target, dict):
                target.clear()
                target.update(state)
            else:
                target.load_state_dict(state)
        raise


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON: tensors go to ``tensors`` under their path, dictionaries become lists of
    pairs, because JSON's keys are text only."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int):
                raise InvalidArgument(f"[save_checkpoint] {path}: got key {key!r}; want text")
        return {"dict": [[k, _pack(v, f"{path}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_pack(v, f"{path}.{k}", tensors) for k, v in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, DType):
        return {"dtype": value.name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidArgument(
        f"[save_checkpoint] {path}: got {type(value).__name__}; want tensors, numbers, text, and "
        f"lists and dictionaries of them"
    )


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "dtype":
        return dtype_of(inside)
    if kind != "dict":
        raise ValueError(f"unknown kind of entry {kind!r}")
    return {k: _unpack(v, tensors) for k, v in inside}
