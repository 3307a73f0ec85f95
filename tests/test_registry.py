"""Names, aliases, opening, registering, versions and options, with registered fakes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken_plugins as plugins
import pytest
from fakes import ABSENT, GPUS, NumpyDevice, fake, fresh  # noqa: F401  (fresh is a fixture)

import polyback as pb
from polyback import device_check, registry
from polyback import plugin as plugin_module
from polyback.config import Config, configure
from polyback.device import PROTOCOL, BackendDescriptor, Device, DeviceInfo
from polyback.discovery import protocol_fault
from polyback.errors import BackendUnavailable, DeviceClosed, InvalidArgument, OutOfMemory

# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "want"),
    [("a", ("a", 0)), ("A_1:3", ("a_1", 3)), ("GPU:12", ("gpu", 12)), ("x:00", ("x", 0))],
)
def test_parse_name(spec: str, want: tuple[str, int]) -> None:
    assert registry.parse_name(spec) == want


@pytest.mark.parametrize(
    "spec",
    ["", ":", "a:", ":0", "a b", "a:-1", "a:x", "a:1:2", " a", "a\n", "1a", "a-b", "a:99999",
     "é", "a:\u0661", None, 3, ["a"]],
)  # fmt: skip
def test_parse_name_refuses(spec: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"\[device\] got .* want 'name', 'name:index' or"):
        registry.parse_name(spec)


def test_aliases_take_the_best_available_of_their_kind() -> None:
    fake("low", priority=1)
    fake("high", priority=9, answer=ABSENT)
    fake("b_tie", priority=5)
    fake("a_tie", priority=5)
    fake("card", kind="gpu", priority=99, infos=GPUS)
    assert registry.resolve("cpu") == ("a_tie", 0)
    assert registry.resolve(None) == ("a_tie", 0)
    assert registry.resolve() == ("a_tie", 0)
    assert registry.resolve("CPU:1") == ("a_tie", 1)
    assert registry.resolve("gpu:1") == ("card", 1)
    assert registry.resolve("Low:7") == ("low", 7)  # whether there is an index 7, open says
    with pytest.raises(InvalidArgument, match=r"'gpu:2', but card has 2 gpu"):
        registry.resolve("gpu:2")
    with configure(device="low:1"):
        assert registry.resolve() == ("low", 1)
    with configure(device="gpu"):
        assert registry.resolve() == ("card", 0)


def test_alias_counts_devices_of_its_kind_only() -> None:
    mixed = (DeviceInfo(0, "cpu", "host"), DeviceInfo(1, "gpu", "a"), DeviceInfo(5, "gpu", "b"))
    fake("mixed", kind="gpu", infos=mixed)
    assert registry.resolve("gpu") == ("mixed", 1)
    assert registry.resolve("gpu:1") == ("mixed", 5)
    with pytest.raises(BackendUnavailable, match="no installed backend has an available cpu"):
        registry.resolve("cpu")


def test_no_backend_at_all() -> None:
    with pytest.raises(BackendUnavailable, match="available: none") as caught:
        registry.open_device()
    assert caught.value.code == "NO_DEVICE"
    assert registry.reference_device() is None
    assert registry.available_devices() == []
    assert registry.list_plugins() == []


def test_reference_device_is_found_by_its_descriptor() -> None:
    fake("plain", priority=9)
    assert registry.reference_device() is None
    fake("definition", reference=True, infos=(DeviceInfo(3, "cpu", "x"),))
    assert registry.reference_device() == ("definition", 3)
    with configure(backends="plain"):
        assert registry.reference_device() is None


def test_unknown_device_message() -> None:
    fake("good")
    fake("absent", answer=ABSENT)
    with pytest.raises(BackendUnavailable) as caught:
        registry.open_device("my_npu:1")
    text = str(caught.value)
    assert "[device] got 'my_npu', want an installed backend; available: good" in text
    assert "absent ((registered)) is unavailable: the driver is not loaded; fix: load it" in text
    assert "pip install polyback-my-npu" in text
    assert caught.value.code == "NOT_INSTALLED"
    assert "my_npu" in caught.value.reason
    with pytest.raises(BackendUnavailable, match="did you mean 'good'"):
        registry.open_device("goood")


def test_a_device_by_a_part_of_its_description() -> None:
    infos = [DeviceInfo(0, "gpu", "Small Card (Maker A)"), DeviceInfo(3, "gpu", "Big Card")]
    fake("cards", kind="gpu", infos=infos)
    fake("absent", answer=ABSENT)
    assert registry.resolve("cards:maker a") == ("cards", 0)
    assert registry.resolve("Cards:BIG") == ("cards", 3)
    with configure(device="cards:big"):
        assert registry.resolve() == ("cards", 3)
    with pytest.raises(InvalidArgument, match=r"'cards:huge', want .*cards:3 Big Card"):
        registry.resolve("cards:huge")
    with pytest.raises(BackendUnavailable, match="not loaded; fix: load it"):
        registry.resolve("absent:card")


def test_unavailable_device_says_why() -> None:
    fake("absent", answer=ABSENT)
    with pytest.raises(BackendUnavailable, match="not loaded; fix: load it") as caught:
        registry.open_device("absent")
    e = caught.value
    assert (e.code, e.reason, e.fix) == ("NO_DRIVER", "the driver is not loaded", "load it")


def test_index_that_is_not_there() -> None:
    made = fake("good")
    with pytest.raises(InvalidArgument, match="got 'good:2', want one of good:0, good:1"):
        registry.open_device("good:2")
    assert made.opened == []


# --- opening --------------------------------------------------------------------------------------


def test_one_device_per_name_and_index() -> None:
    made = fake("good")
    a = registry.open_device("good")
    assert registry.open_device("GOOD:0") is a is registry.open_device("cpu")
    assert registry.open_device("good:1") is not a
    assert made.opened == [0, 1]
    registry.close_all()
    assert registry.open_device("good") is not a


def test_eight_threads_get_the_same_device() -> None:
    made = fake("good")
    gate, got = threading.Barrier(8), []

    def work() -> None:
        gate.wait()
        got.append(registry.open_device("good"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(got) == 8
    assert len({id(d) for d in got}) == 1
    assert made.opened == [0]


def test_a_device_that_hangs_does_not_hold_others_up() -> None:
    release = threading.Event()

    def hang(self: Any, index: int, config: Config) -> Device:
        release.wait(20)
        return NumpyDevice(0)

    fake("slow", open=hang)
    fake("good")
    thread = threading.Thread(target=registry.open_device, args=("slow",))
    thread.start()
    try:
        start = time.perf_counter()
        registry.open_device("good")
        assert time.perf_counter() - start < 5
    finally:
        release.set()
        thread.join()


def test_open_is_tried_again_and_the_record_follows() -> None:
    fails = [True]

    def flaky(self: Any, index: int, config: Config) -> Device:
        if fails:
            raise OSError("busy")
        return NumpyDevice(0)

    fake("flaky", open=flaky)
    with pytest.raises(BackendUnavailable, match="OPEN_FAILED in open: OSError: busy") as caught:
        registry.open_device("flaky")
    assert isinstance(caught.value.__cause__, OSError)
    (record,) = registry.list_plugins()
    assert (record.status, record.phase, record.reason) == ("broken", "open", "OSError: busy")
    fails.clear()
    registry.open_device("flaky")
    assert registry.list_plugins()[0].status == "available"


def test_typed_errors_of_open_pass_through() -> None:
    def full(self: Any, index: int, config: Config) -> Device:
        raise OutOfMemory("[full] no", requested=8)

    def picky(self: Any, index: int, config: Config) -> Device:
        raise InvalidArgument(f"[picky] no isa {config.isa!r}")

    fake("full", open=full)
    fake("picky", open=picky)
    with pytest.raises(OutOfMemory):
        registry.open_device("full")
    with configure(isa="z80"), pytest.raises(InvalidArgument, match="z80"):
        registry.open_device("picky")
    status = {r.name: r.status for r in registry.list_plugins()}
    assert status == {"full": "broken", "picky": "available"}  # picky: the user's mistake


@pytest.mark.parametrize(
    "wrong",
    [
        DeviceInfo(-1, "cpu", "before the first"),
        DeviceInfo(True, "cpu", "not a number"),
        DeviceInfo(0, "tpu", "no such kind"),
        DeviceInfo(1, "cpu", "twice"),
        "no description",
    ],
    ids=str,
)
def test_devices_that_a_backend_describes_wrongly(wrong: Any) -> None:
    fake("wrong", infos=(DeviceInfo(1, "cpu", "right"), wrong))
    (report,) = registry.list_plugins()
    assert (report.status, report.code) == ("broken", "INVALID_PLUGIN")
    with pytest.raises(BackendUnavailable, match=r"INVALID_PLUGIN in devices: devices\(\)"):
        registry.open_device("wrong:1")


def test_tensors_of_a_closed_device_are_no_tensors_of_the_next() -> None:
    fake("again", open=lambda self, index, config: NumpyDevice(0))
    old = pb.ones(3, device="again")
    waiting = old * 2
    registry.close_all()
    new = pb.ones(3, device="again")
    assert old.device != new.device == "again"
    for use in (lambda: old.tolist(), lambda: old + 1, lambda: pb.sum(old), lambda: waiting.numpy(),
                lambda: old + new, lambda: new @ old, lambda: pb.concat([new, old])):  # fmt: skip
        with pytest.raises(DeviceClosed):
            use().numpy()
    assert (new + 1).tolist() == [2.0, 2.0, 2.0]


def test_close_all_tries_every_device() -> None:
    closed = []

    def opener(self: Any, index: int, config: Config) -> Device:
        device = NumpyDevice(0)

        def close() -> None:
            closed.append(index)
            raise OSError(f"cannot close {index}")

        device.close = close
        return device

    fake("good", open=opener)
    registry.open_device("good:0")
    registry.open_device("good:1")
    with pytest.raises(OSError, match="cannot close 0"):
        registry.close_all()
    assert closed == [0, 1]
    registry.close_all()


# --- register -------------------------------------------------------------------------------------


def test_register_and_unregister() -> None:
    fake("good")
    with pytest.raises(InvalidArgument, match="unregister first"):
        fake("good")
    registry.unregister("good")
    registry.unregister("good")
    with pytest.raises(BackendUnavailable):
        registry.open_device("good")
    with pytest.raises(InvalidArgument, match="lower-case"):
        registry.register(BackendDescriptor("Bad", "a:b", "cpu", (PROTOCOL, PROTOCOL)))
    with pytest.raises(InvalidArgument, match="BackendDescriptor"):
        registry.register(None)


def test_registered_plugin_comes_before_an_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.install(tmp_path, "good")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    registry._LISTED.clear()
    made = fake("good")
    registry.open_device("good")
    assert made.opened == [0]
    mine = [r for r in registry.list_plugins() if r.name == "good"]
    assert [r.status for r in mine] == ["available", "shadowed"]
    registry.unregister("good")
    assert registry.open_device("good").caps
    assert made.opened == [0]


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lowest", "highest", "core", "fix"),
    [
        ((1, 0), (1, 0), (1, 0), None),
        ((1, 0), (1, 3), (1, 0), None),  # knows more than the core: not used
        ((1, 0), (1, 0), (1, 9), None),  # an old plugin on a new core of the same major
        ((1, 1), (1, 3), (1, 0), "upgrade polyback"),
        ((1, 1), (1, 3), (1, 1), None),
        ((1, 1), (1, 3), (1, 2), None),
        ((1, 0), (1, 9), (2, 0), "upgrade the-plugin"),
        ((2, 0), (2, 0), (1, 9), "upgrade polyback"),
        ((0, 1), (0, 9), (1, 0), "upgrade the-plugin"),
        ((0, 9), (1, 2), (1, 0), None),  # serves both majors
        ((1, 0), (2, 0), (2, 5), None),
        ((2, 3), (3, 0), (2, 2), "upgrade polyback"),
    ],
)
def test_version_skew(lowest: Any, highest: Any, core: Any, fix: str | None) -> None:
    fault = protocol_fault((lowest, highest), "the-plugin", core)
    assert (fault.fix if fault else None) == fix
    if fault:
        assert (fault.code, fault.phase) == ("VERSION_MISMATCH", "protocol")


@pytest.mark.parametrize(
    "given",
    [None, (1, 0), ((1, 0),), ((1, 0), (1, 0), (1, 0)), ("1.0", "1.1"), ((1, 1), (1, 0)),
     ((1, -1), (1, 0)), ((1.0, 0), (1, 0)), ((True, 0), (1, 0)), [[1, 0], [1, 0]]],
)  # fmt: skip
def test_malformed_protocol_range(given: Any) -> None:
    fault = protocol_fault(given, "the-plugin")
    assert fault is not None
    assert fault.phase == "descriptor"


def test_registered_plugin_of_another_protocol_is_recorded() -> None:
    major = PROTOCOL[0] + 1
    wrong = BackendDescriptor("late", "a:b", "cpu", ((major, 0), (major, 0)))
    registry.register(wrong)
    (record,) = registry.list_plugins()
    assert (record.status, record.code) == ("incompatible", "VERSION_MISMATCH")
    with pytest.raises(BackendUnavailable, match="upgrade polyback"):
        registry.open_device("late")


def test_newer_claims_need_a_newer_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def opener(self: Any, index: int, config: Config) -> Device:
        device = NumpyDevice(0)
        more = {**device.caps.scalars, "cbrt": frozenset({"float32"})}
        device._caps = replace(device.caps, scalars=more)
        return device

    made = fake("future", open=opener)
    with pytest.raises(BackendUnavailable, match="cbrt"):
        registry.open_device("future")
    registry.unregister("future")
    factory = f"{made.__module__}:{made.__name__}"
    newer = ((1, 0), (PROTOCOL[0], PROTOCOL[1] + 1))
    registry.register(BackendDescriptor("future", factory, "cpu", newer))
    assert "cbrt" in registry.open_device("future").caps.scalars

    monkeypatch.setitem(
        device_check._FEATURES, "gather", replace(device_check._FEATURES["gather"], since=(1, 7))
    )
    fake("early")
    with pytest.raises(BackendUnavailable, match="came with protocol"):
        registry.open_device("early")


# --- options --------------------------------------------------------------------------------------


def test_allow_list() -> None:
    fake("one", priority=2)
    fake("two")
    with configure(backends=" Two ,three"):
        assert registry.resolve("cpu") == ("two", 0)
        assert [n for n, _ in registry.available_devices()] == ["two", "two"]
        status = {r.name: (r.status, r.code) for r in registry.list_plugins()}
        assert status == {"one": ("disabled", "DISABLED"), "two": ("available", "")}
        with pytest.raises(BackendUnavailable, match="POLYBACK_BACKENDS") as caught:
            registry.open_device("one")
        assert caught.value.code == "DISABLED"
    registry.open_device("one")
    with configure(backends="two"), pytest.raises(BackendUnavailable):
        registry.open_device("one")  # also when it is open already


def test_disabled_plugins_are_not_loaded() -> None:
    made = fake("one")
    with configure(backends="two"):
        registry.list_plugins()
    assert "backend" not in registry._TABLE["one"][0]._done
    assert made.opened == []


def test_probe_false_does_not_probe() -> None:
    fake("good", answer=1 / 2)
    (record,) = registry.list_plugins(probe=False)
    assert record.status == "not probed"
    assert record.descriptor is not None


def test_slow_probe_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_module, "PROBE_SECONDS", 0.05)
    release = threading.Event()
    fake("slow", probe=lambda self: release.wait(20))
    (record,) = registry.list_plugins()
    assert (record.status, record.code) == ("broken", "PROBE_FAILED")
    assert "took more than 0.05 s" in record.reason
    release.set()


def test_resolving_the_same_name_is_quick() -> None:
    fake("good")
    registry.open_device("cpu")
    calls: list[Callable[[], Any]] = [
        lambda: registry.open_device("good"),
        lambda: registry.open_device("cpu"),
        registry.reference_device,
    ]
    for call in calls:
        start = time.perf_counter()
        for _ in range(100):
            call()
        assert time.perf_counter() - start < 0.1
