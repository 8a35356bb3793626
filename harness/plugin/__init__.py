"""The pytest plugin: hooks only. What they do stands in options, collecting, trial, bench and report."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.plugin import options
from harness.plugin.collection import Collection, parameter

if TYPE_CHECKING:
    from harness.plugin.fixtures.ablation import AblationFixture
    from harness.plugin.fixtures.control import ControlFixture
    from harness.plugin.fixtures.finding import FindingFixture
    from harness.plugin.fixtures.study import StudyFixture
    from harness.plugin.session import Session

COLLECTING: pytest.StashKey[Collection] = pytest.StashKey()
RUNNING: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "dit(checkpoint, *asks): layer ablations of a checkpoint (or of the --dit-checkpoint of its family); "
        "a test that takes `ablation` runs once a case, one that takes `control` or `study` once a checkpoint",
    )
    config.addinivalue_line(
        "markers",
        "dit_findings(checkpoint, *claims): published claims about a checkpoint, by the name of a set (blog, sd35), by "
        "id (B2) or as Claim objects; a test that takes `finding` runs once a claim",
    )
    config.stash[COLLECTING] = Collection(options.from_config(config))


def pytest_sessionstart(session: pytest.Session) -> None:
    # A killed nightly still ranks what there is: pytest handles SIGINT so, and SIGTERM not at all.
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, partial(_terminate, session))
        session.config.add_cleanup(partial(_restore, before))


def _terminate(session: pytest.Session, *_: object) -> None:
    # Where a library swallows the interrupt (one raised in a destructor is lost), the test at work is the last one.
    session.shouldstop = "terminated"
    signal.raise_signal(signal.SIGINT)


def _restore(before: signal.Handlers | Callable[..., object] | int | None) -> None:
    signal.signal(signal.SIGTERM, before)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.config.stash[COLLECTING].parametrize(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    item.config.stash[COLLECTING].add_words(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    collecting = config.stash[COLLECTING]
    collecting.reject(config, items)
    collecting.narrow(config, items)
    yield
    collecting.arrange(items)  # after everybody else: pytest-randomly shuffles here


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    collecting = config.stash[COLLECTING]
    if not collecting.wanted or config.option.collectonly:
        return []
    from harness.plugin.header import describe

    try:
        return describe(collecting)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Open what the tests need before the first one, so that bad input ends the run with one line."""
    collecting = session.config.stash[COLLECTING]
    xdist = bool(getattr(session.config.option, "numprocesses", None))  # the controller collects nothing itself
    if (collecting.wanted or xdist) and not session.config.option.collectonly and not session.testsfailed:
        from harness.plugin.session import Session

        session.config.stash[RUNNING] = running = Session(session.config, collecting)
        try:
            running.prepare()
        except HarnessError as error:
            if running.is_worker:
                running.broken = str(error)  # an exit on a worker would be an internal error
            else:
                raise pytest.UsageError(str(error)) from None
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: every worker puts its images into the controller's run folder."""
    node.workerinput["dit_run_id"] = node.config.stash[COLLECTING].options.run_id


@pytest.fixture
def ablation(request: pytest.FixtureRequest) -> AblationFixture:
    """One ablation case: ``ablation.check(ablation.measure())``, or ``ablation.time(benchmark)``."""
    return request.config.stash[RUNNING].trial(request)


@pytest.fixture
def control(request: pytest.FixtureRequest) -> ControlFixture:
    """The un-ablated model of one checkpoint: ``control.check()``, ``control.lab``."""
    return request.config.stash[RUNNING].control(request)


@pytest.fixture
def study(request: pytest.FixtureRequest) -> StudyFixture:
    """The layer analysis of one checkpoint: ``study.check_layers()``, ``study.study``."""
    return request.config.stash[RUNNING].inquiry(request)


@pytest.fixture
def finding(request: pytest.FixtureRequest) -> FindingFixture:
    """One published claim on one checkpoint: ``finding.check()``."""
    return request.config.stash[RUNNING].claim(request)


@contextmanager
def _plainly(item: pytest.Item) -> Iterator[None]:
    """What the harness has to say of a case is said without a traceback of ours."""
    try:
        yield
    except HarnessError as error:
        if parameter(item) is None:
            raise
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _plainly(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _plainly(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    running = item.config.stash.get(RUNNING, None)
    if running is not None and call.when == "call":
        running.attach(item, report)  # Running itself takes them in again, in pytest_runtest_logreport
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    running = session.config.stash.get(RUNNING, None)
    if running is not None:
        try:
            running.finish()
        except HarnessError as error:
            running.trouble = str(error)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    try:
        yield
    finally:
        running = config.stash.get(RUNNING, None)
        if running is not None:
            running.print_ranking(terminalreporter)
