"""pytest plugin: options, device parameters, and the score at the end.

It must cost nothing in other people's runs: nothing but pytest is imported until one of this
suite's own test modules is collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from polyback_conformance.session import Session

OURS = "polyback_conformance."
SESSION: Final = pytest.StashKey["Session"]()
DEFAULT_SEED = 20250731


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("polyback conformance")

    def option(name: str, **how: Any) -> None:
        """``--name``, and ``--conformance-name`` for where another plugin has taken the first."""
        long = f"--conformance-{name}"
        try:
            group.addoption(f"--{name}", long, dest=long[2:].replace("-", "_"), **how)
        except ValueError:
            group.addoption(long, **how)

    option(
        "device",
        action="append",
        default=[],
        metavar="NAME",
        help="device to test; repeat, or separate with commas",
    )
    option(
        "device-factory",
        action="append",
        default=[],
        metavar="MODULE:CALLABLE",
        help="callable that returns a Device (or Backend) to test",
    )
    option(
        "level", type=int, default=7, metavar="N", help="run conformance levels 0 to N (default 7)"
    )
    option("allow-not-run", action="store_true",
        help="exit with 0 even if a device was not there to be tested")  # fmt: skip
    group.addoption("--conformance-json", metavar="PATH", help="write the certificate here")
    group.addoption(
        "--conformance-seed",
        default=str(DEFAULT_SEED),
        metavar="N",
        help='seed of all random values: a number, or "random"',
    )
    group.addoption("--conformance-slow", action="store_true", help="run the long sweeps too")
    group.addoption(
        "--conformance-first",
        metavar="TEXT",
        help="run the tests whose id holds this text before the others",
    )
    group.addoption("--conformance-journal", metavar="PATH",
        help="keep outcomes in this file; a run with the same file goes on after them")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: long sweeps")
    config.addinivalue_line("markers", "conformance_level(n): the level of a conformance module")


def _is_ours(module: Any) -> bool:
    return getattr(module, "__name__", "").startswith(OURS)


def session_of(config: pytest.Config) -> Session:
    """The Session of this run, made when it is first asked for."""
    if SESSION not in config.stash:
        from polyback_conformance.session import Session

        config.stash[SESSION] = Session(config)
    return config.stash[SESSION]


def _has_session(config: pytest.Config) -> bool:
    return SESSION in config.stash


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if _is_ours(metafunc.module) and "lab" in metafunc.fixturenames:
        targets = session_of(metafunc.config).targets
        metafunc.parametrize("lab", targets, indirect=True, scope="session", ids=str)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _has_session(config):
        session_of(config).select(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _is_ours(getattr(item, "module", None)) and (journal := session_of(item.config).journal):
        journal.write(start=item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if _is_ours(getattr(item, "module", None)):
        session_of(item.config).saw(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _has_session(session.config):
        session_of(session.config).finish(session)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if _has_session(config):
        session_of(config).report(terminalreporter)
