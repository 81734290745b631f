"""Options of the integration tests and the servers they share."""

from __future__ import annotations

import random
import signal

import pytest

import harness


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long forms: 100,000 operations, 5,000,000 puts")
    parser.addoption("--seed", type=int, default=None, help="seed of the random tests (default: drawn, printed)")
    parser.addoption("--operations", type=int, default=None, help="operations of the differential test")
    parser.addoption("--rounds", type=int, default=50, help="rounds of the kill -9 test")
    parser.addoption("--minimise", type=float, default=0, metavar="SECONDS",
                     help="how long to look for a shorter way to a difference")


def pytest_configure() -> None:
    # Tests that run in the background of a script begin with it ignored, and so would all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    subject = "etcd 3.5.1 (CAIRN_SUBJECT=etcd)" if harness.subject_is_etcd() else str(harness.cairn_binary())
    return f"subject: {subject}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of this run; it is in the report of a failed test, and --seed gives it again."""
    given = request.config.getoption("--seed")
    value = random.SystemRandom().randrange(1 << 32) if given is None else given
    print(f"seed: {value} (again with --seed {value})")
    return value


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[_FAILED] = report.failed


_FAILED = pytest.StashKey[bool]()


def _running(server: harness.Server, request: pytest.FixtureRequest):
    """Yields a started server; after a failed test its folder stays, with its log."""
    yield server.start()
    server.kill()
    if request.node.stash.get(_FAILED, False):
        print(f"kept {server.folder}; end of its log:\n{server.log_tail()}")
    else:
        server.remove()


@pytest.fixture
def reference(request: pytest.FixtureRequest):
    yield from _running(harness.etcd(), request)


@pytest.fixture
def subject(request: pytest.FixtureRequest):
    yield from _running(harness.cairn(), request)
