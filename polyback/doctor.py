"""What ``polyback doctor`` reports: versions, options, every plugin, and a try on every device."""

from __future__ import annotations

import platform
import time
from array import array
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from polyback import __version__, registry
from polyback.config import Config, config
from polyback.device import PROTOCOL, Caps, Device, Operand
from polyback.discovery import PluginRecord, explain
from polyback.dtype import float32
from polyback.errors import InvalidArgument
from polyback.program import program
from polyback.scalar import TABLE
from polyback.view import View


def report() -> dict[str, Any]:
    """Everything as JSON-ready data; ``ok`` tells whether at least one device works."""
    found: dict[str, Any] = {
        "polyback": __version__,
        "protocol": list(PROTOCOL),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "config": {},
        "config_error": "",
        "plugins": [],
        "ok": False,
    }
    try:
        found["config"] = _options(config())
    except InvalidArgument as error:
        found["config_error"] = str(error)
        return found
    tried = {
        f"{r.name}:{d.index}": smoke_test(f"{r.name}:{d.index}")
        for r in registry.list_plugins()
        if r.status == "available"
        for d in r.devices
    }
    found["plugins"] = [plugin_data(r, tried) for r in registry.list_plugins()]
    found["ok"] = any(t["ok"] for t in tried.values())
    return found


def _options(options: Config) -> dict[str, Any]:
    default = Config()
    return {
        f.name: {
            "value": getattr(options, f.name),
            "from": "default"
            if getattr(options, f.name) == getattr(default, f.name)
            else f"POLYBACK_{f.name.upper()} or configure()",
        }
        for f in fields(options)
    }


def plugin_data(record: PluginRecord, tried: dict[str, Any]) -> dict[str, Any]:
    """A record as JSON-ready data, with what was tried on its devices."""
    data = asdict(record)
    given = record.descriptor
    data["descriptor"] = None if given is None else asdict(given)
    data["protocol"] = None if given is None else [list(version) for version in given.protocol]
    for device in data["devices"]:
        device["smoke"] = tried.get(f"{record.name}:{device['index']}")
    return data


def smoke_test(name: str) -> dict[str, Any]:
    """Open device ``name``, compute ``2 x + 1`` on it, and say how that went."""
    start = time.perf_counter()
    result: dict[str, Any] = {"device": name, "ok": False, "error": "", "claims": None}
    try:
        device = registry.open_device(name)
        result["claims"] = claims_summary(device.caps)
        got = _compute(device)
        result["ok"] = got == [1.0, 3.0, 5.0, 7.0]
        if not result["ok"]:
            result["error"] = f"2 x + 1 gave {got} for x = 0, 1, 2, 3"
    except Exception as error:
        result["error"] = explain(error)
    result["milliseconds"] = round(1e3 * (time.perf_counter() - start), 1)
    return result


def _compute(device: Device) -> list[float]:
    data = array("f", [0, 1, 2, 3])
    view = View.contiguous((4,))
    buffers = [device.allocate(16), device.allocate(16)]
    try:
        x, out = (Operand(buffer, float32, view) for buffer in buffers)
        device.upload(
            out.buffer, 0, memoryview(bytes(16))
        )  # memory is reused: do not find an old result
        device.upload(x.buffer, 0, memoryview(data).cast("B"))
        device.elementwise(program(lambda t: t * 2.0 + 1.0, float32), [out], [x])
        device.download(out.buffer, 0, memoryview(data).cast("B"))
        device.synchronize()
    finally:
        for buffer in buffers:
            device.free(buffer)
    return data.tolist()


def claims_summary(caps: Caps) -> dict[str, Any]:
    """The size of what a device claims; ``polyback conformance`` has the full list."""
    return {
        "dtypes": sorted(caps.storage),
        "functions": sum(bool(types) for types in caps.scalars.values()),
        "functions_of": len(TABLE),
        "reductions": len(caps.reductions),
        "matmul": sorted(caps.matmul),
        "features": sorted(caps.features),
    }


# --- as text --------------------------------------------------------------------------------------


def table(rows: list[list[str]], indent: str = "") -> str:
    """Left-aligned columns, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(indent + line.rstrip() for line in lines)


def render(found: dict[str, Any]) -> str:
    """The report as text."""
    protocol = ".".join(map(str, found["protocol"]))
    parts = [
        f"polyback {found['polyback']} (protocol {protocol}), Python {found['python']}, "
        f"NumPy {found['numpy']}, {found['platform']}",
        "",
    ]
    if found["config_error"]:
        return "\n".join([*parts, f"options: {found['config_error']}", "", "no device was tried"])
    options = [[k, repr(v["value"]), v["from"]] for k, v in found["config"].items()]
    parts += ["options", table(options, "  "), ""]
    for plugin in found["plugins"]:
        parts += [_render_plugin(plugin), ""]
    if not found["plugins"]:
        parts += ["no backend is installed; fix: pip install one of the polyback backends", ""]
    works = sum(bool(d["smoke"] and d["smoke"]["ok"]) for d in _devices(found))
    return "\n".join([*parts, f"{works} working device(s)"])


def _devices(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [d for plugin in found["plugins"] for d in plugin["devices"]]


def _render_plugin(plugin: dict[str, Any]) -> str:
    speaks = plugin["protocol"]
    versions = " to ".join(".".join(map(str, v)) for v in speaks) if speaks else "unknown"
    lines = [
        f"{plugin['name']}: {plugin['status']}  "
        f"({plugin['distribution']} {plugin['version']}, protocol {versions})"
    ]
    if plugin["code"]:
        lines.append(f"  {plugin['code']} in phase {plugin['phase']}")
    names = {"reason": "reason" if plugin["code"] else "detail", "fix": "fix"}
    rows = [[names[key], plugin[key]] for key in names if plugin[key]]
    if rows:
        lines.append(table(rows, "  "))
    for device in plugin["devices"]:
        lines.append(f"  {plugin['name']}:{device['index']}  {device['description']}")
        smoke = device["smoke"]
        if smoke and smoke["claims"]:
            lines.append("    claims  " + _render_claims(smoke["claims"]))
        if smoke:
            answer = "works" if smoke["ok"] else f"FAILED: {smoke['error']}"
            lines.append(f"    tried   {answer} ({smoke['milliseconds']} ms)")
    return "\n".join(lines)


def _render_claims(claims: dict[str, Any]) -> str:
    features = ", ".join(claims["features"]) or "none"
    return (
        f"{len(claims['dtypes'])} dtypes, {claims['functions']} of {claims['functions_of']} "
        f"functions, {claims['reductions']} reductions, matmul in {len(claims['matmul'])} dtypes, "
        f"features: {features}"
    )
