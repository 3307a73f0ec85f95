"""Host fallback: right results, never silent, and an exact ledger."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from extra_devices import caps, extra_device

import polyback as pb

LACKS = ("exp", "iota", "sum()", "matmul")
pytestmark = pytest.mark.fallback


@pytest.fixture
def poor() -> Iterator[str]:
    """A device without exp, iota, sum and matmul; the ledger is empty before and after."""
    pb.clear_ledger()
    with extra_device(caps(without=LACKS)) as name:
        yield name
    pb.clear_ledger()


def entries() -> dict[str, tuple[int, int]]:
    return {e.op: (e.count, e.nbytes) for e in pb.fallback_ledger()}


# --- policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "run"),
    [
        ("elementwise exp float32", lambda x: pb.exp(x).numpy()),
        ("sum float32", lambda x: pb.sum(x)),
        ("matmul float32", lambda x: x @ x),
    ],
)
def test_forbid_raises_and_names_the_op_the_device_and_the_way_out(
    poor: str, what: str, run: object
) -> None:
    x = pb.ones((2, 2), device=poor)
    says = rf"\[{what}\] {poor} does not offer it.*'warn'"
    with pb.configure(fallback="forbid"), pytest.raises(pb.UnsupportedOp, match=says):
        run(x)
    assert not pb.fallback_ledger()


def test_warn_says_so_once_for_each_op_at_the_users_line(poor: str) -> None:
    x = pb.ones((2, 2), device=poor)
    with pb.configure(fallback="warn"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            pb.exp(x).numpy()
            pb.sum(x).numpy()
    assert [w.category for w in caught] == [pb.FallbackWarning] * 2
    for warning, op in zip(caught, ("elementwise exp float32", "sum float32")):
        assert str(warning.message).startswith(f"[{op}] {poor} does not offer it")
        assert "bytes moved" in str(warning.message)
        assert warning.filename == __file__
    assert {op: n for op, (n, _) in entries().items()} == {
        "elementwise exp float32": 3, "sum float32": 3}  # fmt: skip


def test_allow_is_quiet_and_still_counted(poor: str) -> None:
    with pb.configure(fallback="allow"):  # a warning would be an error here
        pb.exp(pb.ones(3, device=poor)).numpy()
    assert entries() == {"elementwise exp float32": (1, 36)}


def test_an_op_first_used_quietly_still_warns_later(poor: str) -> None:
    x = pb.ones(3, device=poor)
    with pb.configure(fallback="allow"):
        pb.exp(x).numpy()
    with pb.configure(fallback="warn"), pytest.warns(pb.FallbackWarning):
        pb.exp(x).numpy()
    with pb.configure(fallback="warn"):
        pb.exp(x).numpy()


def test_clearing_the_ledger_forgets_counts_and_warnings(poor: str) -> None:
    x = pb.ones(3, device=poor)
    for _ in range(2):
        with pb.configure(fallback="warn"), pytest.warns(pb.FallbackWarning):
            pb.exp(x).numpy()
        pb.clear_ledger()
        assert pb.fallback_ledger() == []


# --- results ------------------------------------------------------------------------------------


@pytest.fixture
def x(poor: str) -> Iterator[pb.Tensor]:
    with pb.configure(fallback="allow"):
        yield pb.asarray(np.arange(24.0).reshape(2, 3, 4) / 10, dtype=pb.float32, device=poor)


VIEWS = {
    "as it is": lambda x: x,
    "permuted": lambda x: np.transpose(x, (2, 0, 1)) if isinstance(x, np.ndarray)
    else pb.permute_dims(x, (2, 0, 1)),
    "sliced": lambda x: x[:, ::2, 1:3],
    "reversed": lambda x: x[::-1, :, ::-2],
    "one": lambda x: x[1, 2, 3],
    "broadcast": lambda x: np.broadcast_to(x[:, :1, :], (2, 3, 4)) if isinstance(x, np.ndarray)
    else pb.broadcast_to(x[:, :1, :], (2, 3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_strided_operands_give_the_same_result(x: pb.Tensor, view: str) -> None:
    got = pb.exp(VIEWS[view](x))
    want = np.exp(VIEWS[view](x.numpy()))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    got = pb.sum(VIEWS[view](x), axis=None)
    np.testing.assert_allclose(got.numpy(), VIEWS[view](x.numpy()).sum(), rtol=1e-6)


def test_matmul_of_views(x: pb.Tensor) -> None:
    a, b = x[:, ::2, :], pb.matrix_transpose(x)[:, :, 1:]
    np.testing.assert_allclose((a @ b).numpy(), a.numpy() @ b.numpy(), rtol=1e-6)
    assert list(entries()) == ["matmul float32"]


@pytest.mark.parametrize("view", ["as it is", "sliced", "reversed", "one"])
def test_results_are_written_to_a_view_and_nowhere_else(x: pb.Tensor, view: str) -> None:
    want = x.numpy()
    key = (1, 2, 3, ...) if view == "one" else ...  # NumPy's x[1, 2, 3] is no view
    np.copyto((want if view == "one" else VIEWS[view](want))[key], np.exp(VIEWS[view](want)))
    part = VIEWS[view](x)
    part[...] = pb.exp(part)
    np.testing.assert_allclose(x.numpy(), want, rtol=1e-6)


def test_in_place_operators_write_through_views(poor: str) -> None:
    with extra_device(caps(without=["add"])) as name, pb.configure(fallback="allow"):
        x = pb.zeros((3, 4), device=name)
        x[:, ::2] += 1.0
        x.T[1:] += x.T[:-1]
        assert x.tolist() == [[1.0, 1.0, 1.0, 1.0]] * 3


def test_outputs_interleaved_in_one_buffer_do_not_overwrite_each_other(poor: str) -> None:
    # Philox writes its four words with stride 4.
    with pb.configure(fallback="allow"):
        got = pb.random.Generator(3, device=poor).uniform(37)
    assert "elementwise iota int64" in entries()
    assert got.tolist() == pb.random.Generator(3, device="numpy_ref").uniform(37).tolist()


def test_numbers_scalars_and_empty_tensors(x: pb.Tensor) -> None:
    np.testing.assert_allclose(pb.exp(x[0, 0, 1]).item(), np.exp(np.float32(0.1)), rtol=1e-6)
    assert pb.exp(x[:0]).shape == (0, 3, 4)
    assert pb.sum(x[:0], axis=0).tolist() == [[0.0] * 4] * 3
    assert (x[0, :, :0] @ x[0, :0, :]).tolist() == [[0.0] * 4] * 3
    assert pb.exp(x * 2 + 1).numpy().shape == (2, 3, 4)  # a fused program falls back as a whole


def test_gradients_flow_through_ops_that_fall_back(poor: str) -> None:
    with pb.configure(fallback="allow"):
        x = pb.asarray([[0.0, 1.0]], device=poor, requires_grad=True)
        pb.sum(pb.exp(x) @ pb.ones((2, 1), device=poor)).backward()
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), np.exp([[0.0, 1.0]]), rtol=1e-6)


# --- the ledger ---------------------------------------------------------------------------------


def test_the_ledger_counts_the_bytes_moved_both_ways(poor: str) -> None:
    with pb.configure(fallback="allow"):
        x = pb.ones((4, 8), device=poor)  # 128 bytes
        pb.sum(x)  # 128 in, 4 for the result there and back
        pb.sum(x, axis=0)  # 128 in, 32 there and back
        pb.exp(x[:, 1::2]).numpy()  # 124: between the elements touched; 64 there and back
        x @ pb.ones((8, 2), device=poor)  # 128 + 64 in, 32 there and back
        pb.exp(pb.broadcast_to(x[0, 0], (100,))).numpy()  # 4 in, 400 there and back
    assert entries() == {
        "elementwise exp float32": (2, 124 + 2 * 64 + 4 + 2 * 400),
        "matmul float32": (1, 128 + 64 + 2 * 32),
        "sum float32": (2, 128 + 2 * 4 + 128 + 2 * 32),
    }
    sizes = [e.nbytes for e in pb.fallback_ledger()]
    assert sizes == sorted(sizes, reverse=True)
    assert {e.device for e in pb.fallback_ledger()} == {poor}


def test_host_memory_is_given_back(poor: str) -> None:
    host = pb.get_device("numpy_ref")
    with pb.configure(fallback="allow"):
        x = pb.ones((16, 16), device=poor)
        before = host.memory_stats()
        for _ in range(3):
            pb.exp(x.T).numpy()
        with pytest.raises(pb.ShapeError):
            x @ pb.ones((3, 3), device=poor)
        after = host.memory_stats()
    assert before is not None
    assert after is not None
    assert after.live == before.live


# --- types that a device does not even store ----------------------------------------------------


def test_a_type_without_storage_is_kept_as_bytes_and_computed_on_the_host() -> None:
    with extra_device(caps(storage=["bool", "int64", "float32"])) as name:
        with pb.configure(fallback="allow"):
            x = pb.asarray([[1 + 2j, 3j], [4, 5 - 1j]], device=name)
            assert x.T[::-1].tolist() == [[3j, 5 - 1j], [1 + 2j, 4]]
            assert (x * x).tolist() == [[-3 + 4j, -9], [16, 24 - 10j]]
            assert pb.astype(pb.ones(2, device=name), pb.complex64).tolist() == [1, 1]
            assert pb.zeros(2, device=name, dtype=pb.float64).to_device("numpy_ref").tolist() == [
                0.0, 0.0]  # fmt: skip
            assert pb.ones(2, device="numpy_ref", dtype=pb.float64).to_device(name).device == name
        says = f"{name} does not store complex64; it stores"
        with pb.configure(fallback="forbid"), pytest.raises(pb.DTypeError, match=says):
            pb.asarray([1j], device=name)
    pb.clear_ledger()
