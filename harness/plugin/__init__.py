"""The pytest plugin: hooks and fixtures only; what they do is in the other modules of this folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.plugin import options, transport, workers
from harness.plugin.collection import Collection, parameter_id
from harness.plugin.command_line import add_options

if TYPE_CHECKING:
    from harness.plugin.fixtures.ablation import AblationFixture
    from harness.plugin.fixtures.control import ControlFixture
    from harness.plugin.fixtures.finding import FindingFixture
    from harness.plugin.fixtures.study import StudyFixture
    from harness.plugin.parameters import Parameter
    from harness.plugin.session import Session

_COLLECTION: pytest.StashKey[Collection] = pytest.StashKey()
_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


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
    config.stash[_COLLECTION] = Collection(options.from_config(config))


def pytest_sessionstart(session: pytest.Session) -> None:
    # A run that is ended by SIGTERM (a job at its time limit) still prints its ranking: pytest does so for SIGINT only.
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, partial(_terminate, session))
        session.config.add_cleanup(partial(_restore, before))


def _terminate(session: pytest.Session, *_: object) -> None:
    # Where a library swallows the interrupt (one raised in a destructor is lost), the running test is the last one.
    session.shouldstop = "terminated"
    signal.raise_signal(signal.SIGINT)


def _restore(before: signal.Handlers | Callable[..., object] | int | None) -> None:
    signal.signal(signal.SIGTERM, before)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.config.stash[_COLLECTION].parametrize(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    item.config.stash[_COLLECTION].add_words(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    collection = config.stash[_COLLECTION]
    collection.reject(config, items)
    collection.narrow(config, items)
    yield
    collection.arrange(items)  # after everybody else: pytest-randomly shuffles here


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    collection = config.stash[_COLLECTION]
    if not collection.selected or config.option.collectonly:
        return []
    from harness.plugin.header import describe  # loads torch, which collecting does without

    try:
        return describe(collection)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Open what the tests need before the first one, so that bad input ends the run with one line."""
    config = session.config
    collection = config.stash[_COLLECTION]
    wanted = collection.selected or workers.is_controller(config)  # the controller collects nothing itself
    if wanted and not config.option.collectonly and not session.testsfailed:
        from harness.plugin.session import Session  # loads torch

        config.stash[_SESSION] = dit_session = Session(config, collection)
        try:
            dit_session.prepare()
        except HarnessError as error:
            if not workers.is_worker(config):
                raise pytest.UsageError(str(error)) from None
            dit_session.labs.broken = str(error)  # an exit on a worker would be an internal error
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker is about to start."""
    workers.send_run_id(node, node.config.stash[_COLLECTION].options.run_id)


@pytest.fixture
def ablation(request: pytest.FixtureRequest) -> AblationFixture:
    """One ablation case: ``ablation.check(ablation.measure())``, or ``ablation.time(benchmark)``."""
    return request.config.stash[_SESSION].ablation(_parameter(request), request.node)


@pytest.fixture
def control(request: pytest.FixtureRequest) -> ControlFixture:
    """The un-ablated model of one checkpoint: ``control.check()``, ``control.lab``."""
    return request.config.stash[_SESSION].control(_parameter(request), request.node)


@pytest.fixture
def study(request: pytest.FixtureRequest) -> StudyFixture:
    """The layer analysis of one checkpoint: ``study.check_layers()``, ``study.study``."""
    return request.config.stash[_SESSION].analyses.study(_parameter(request), request.node)


@pytest.fixture
def finding(request: pytest.FixtureRequest) -> FindingFixture:
    """One published claim on one checkpoint: ``finding.check()``."""
    return request.config.stash[_SESSION].analyses.finding(_parameter(request), request.node)


def _parameter(request: pytest.FixtureRequest) -> Parameter:
    return request.config.stash[_COLLECTION].parameters[request.param]


@contextmanager
def _without_traceback(item: pytest.Item) -> Iterator[None]:
    """Show a HarnessError in a test of ours by its message alone, which says what to do."""
    try:
        yield
    except HarnessError as error:
        if parameter_id(item) is None:
            raise
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _without_traceback(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _without_traceback(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    parameter = item.config.stash[_COLLECTION].parameter(item)
    dit_session = item.config.stash.get(_SESSION, None)
    if parameter is not None and dit_session is not None and call.excinfo is not None and report.failed:
        dit_session.record_error(parameter, item, call.excinfo.value)
    if parameter is not None and (call.when == "call" or transport.has_output(item)):
        transport.attach(item, parameter.target, report)  # Session.pytest_runtest_logreport takes it from there
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    dit_session = session.config.stash.get(_SESSION, None)
    if dit_session is not None:
        try:
            dit_session.finish()
        except HarnessError as error:
            dit_session.trouble = str(error)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    try:
        yield
    finally:
        dit_session = config.stash.get(_SESSION, None)
        if dit_session is not None:
            dit_session.print_summary(terminalreporter)
