"""The pytest plugin: hooks and fixtures only; what they do is in the other modules of this folder."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.interrupts import sigterm_as_ctrl_c
from harness.plugin import options, transport, workers
from harness.plugin.collection import Collection, parameter_id
from harness.plugin.command_line import add_options
from harness.plugin.option_values import check_option_names

if TYPE_CHECKING:
    from harness.plugin.fixtures.ablation import AblationFixture
    from harness.plugin.fixtures.control import ControlFixture
    from harness.plugin.fixtures.finding import FindingFixture
    from harness.plugin.fixtures.study import StudyFixture
    from harness.plugin.parameters import Parameter
    from harness.plugin.session import Session

_COLLECTION: pytest.StashKey[Collection] = pytest.StashKey()
_SESSION: pytest.StashKey[Session] = pytest.StashKey()
_MISTAKES: pytest.StashKey[dict[str, None]] = pytest.StashKey()  # of workers of pytest-xdist
_PYTEST: pytest.StashKey[pytest.Session] = pytest.StashKey()  # whose exit status the summary may still change


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    check_option_names(vars(early_config.known_args_namespace), args)


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
    config.addinivalue_line(
        "markers",
        "dit_on_request(word): cases that run only where their file is named on the command line or -k has the word",
    )
    config.stash[_COLLECTION] = Collection(options.from_config(config))


def _rank_when_terminated(session: pytest.Session) -> None:
    """Let a killed nightly still rank what there is: pytest handles SIGINT so, and SIGTERM not at all."""

    def end_at_the_running_test() -> None:
        # Where a library swallows the interrupt (one raised in a destructor is lost), the running test is the last one.
        session.shouldstop = "terminated"

    stack = ExitStack()
    stack.enter_context(sigterm_as_ctrl_c(end_at_the_running_test))
    session.config.add_cleanup(stack.close)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.config.stash[_COLLECTION].parametrize(metafunc)


def pytest_itemcollected(item: pytest.Item) -> None:
    item.config.stash[_COLLECTION].add_words(item)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Where a test that was named isn't there, name the nearest one behind what pytest says."""
    try:
        return (yield)
    except pytest.UsageError as error:
        collection, said = session.config.stash[_COLLECTION], " ".join(map(str, error.args))
        files = {name: name.partition("[")[0].rpartition("/")[2] for name in session.config.args}
        guesses = [collection.nearest_id(name) for name, file in files.items() if file in said]
        raise pytest.UsageError(*error.args, *filter(None, guesses)) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    collection = config.stash[_COLLECTION]
    collection.reject(config, items)
    collection.narrow(config, items)
    yield
    collection.arrange(items)  # after everybody else: pytest-randomly shuffles here


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    collection = config.stash[_COLLECTION]
    if workers.is_worker(config):
        return []
    lines = [f"dit: {note}" for note in (*collection.notes, collection.why_none(config.option.keyword)) if note]
    if not collection.any_test and collection.options.typed:
        lines.append(_without_effect(collection.options.typed))
    if not collection.selected or config.option.collectonly:
        return lines
    from harness.plugin.header import describe  # loads torch, which collecting does without

    try:
        return [*describe(collection), *lines]
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None


def _without_effect(typed: Sequence[str]) -> str:
    does = "does" if len(typed) == 1 else "do"
    return (
        f"dit: no test here has a dit mark, so {' and '.join(typed)} {does} nothing; name the folder of the cases: "
        f"pytest cases/ {' '.join(typed)}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Open what the tests need before the first one, so that bad input ends the run with one line."""
    config = session.config
    if workers.is_controller(config):
        # It collects nothing itself: a test of ours is known by its report, and other people's never get further.
        config.pluginmanager.register(_FirstReport(session), "harness.plugin.first_report")
    elif config.stash[_COLLECTION].selected and not config.option.collectonly and not session.testsfailed:
        dit_session = _open_session(session)
        try:
            dit_session.prepare()
        except HarnessError as error:
            if not workers.is_worker(config):
                raise pytest.UsageError(str(error)) from None
            dit_session.labs.broken = str(error)  # an exit on a worker would be an internal error
            workers.send_mistake(config, str(error))
    return (yield)


def _open_session(session: pytest.Session) -> Session:
    from harness.plugin.session import Session  # loads torch

    config = session.config
    config.stash[_SESSION], config.stash[_PYTEST] = Session(session, config.stash[_COLLECTION]), session
    _rank_when_terminated(session)
    return config.stash[_SESSION]


class _FirstReport:
    """In the controller of pytest-xdist: opens the session when the first test of ours is reported."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        config = self._session.config
        if not transport.is_attached(report) or _SESSION in config.stash:
            return
        dit_session = _open_session(self._session)
        try:
            dit_session.prepare()
        except HarnessError as error:
            dit_session.problem(str(error))
        dit_session.pytest_runtest_logreport(report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist: a worker has ended, maybe by a mistake of the command line."""
    if mistake := workers.mistake_of(node):
        node.config.stash.setdefault(_MISTAKES, {})[mistake] = None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker is about to start."""
    workers.send_run_id(node, node.config.stash[_COLLECTION].options.run_id)


@pytest.fixture
def ablation(request: pytest.FixtureRequest) -> Iterator[AblationFixture]:
    """One ablation case: ``ablation.check(ablation.measure())``, or ``ablation.time(benchmark)``."""
    dit_session = request.config.stash[_SESSION]
    case = dit_session.ablation(_parameter(request), request.node)
    yield case
    # After the test's report, and so after its record: a full disk costs pictures first.
    if problem := case.keep_pictures():
        dit_session.problem(problem)


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
    dit_session = item.config.stash.get(_SESSION, None)
    if dit_session is not None and dit_session.labs.broken and parameter_id(item) is not None:
        pytest.skip(dit_session.labs.broken)  # the controller of pytest-xdist says it once, and ends with exit code 4
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
    if parameter is not None and call.excinfo is not None:
        _without_class_name(report, call.excinfo.value)
    if parameter is not None and (call.when == "call" or transport.has_output(item)):
        transport.attach(item, parameter.target, report)  # Session.pytest_runtest_logreport takes it from there
    return report


def _without_class_name(report: pytest.TestReport, error: BaseException) -> None:
    """Let the short summary of a test of ours begin with what is red, instead of ``Failed: ``: a narrow one is cut."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None and isinstance(error, pytest.fail.Exception):
        crash.message = crash.message.removeprefix("Failed: ")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    dit_session = session.config.stash.get(_SESSION, None)
    if dit_session is not None:
        try:
            stopped = session.shouldstop or session.exitstatus == pytest.ExitCode.INTERRUPTED
            dit_session.finish(whole=not stopped)
        except HarnessError as error:
            dit_session.problem(str(error))
        _fail_with_problems(dit_session, session)
    if session.config.stash.get(_MISTAKES, {}):
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    try:
        yield
    finally:
        dit_session, typed = config.stash.get(_SESSION, None), config.stash[_COLLECTION].options.typed
        if dit_session is not None:
            try:
                dit_session.print_summary(terminalreporter)
            except KeyboardInterrupt:
                again = f"python -m harness report {dit_session.folder}"
                terminalreporter.write_line(f"stopped while the ranking was made; make it with: {again}", red=True)
            _fail_with_problems(dit_session, config.stash[_PYTEST])
        elif workers.is_controller(config) and typed and not config.stash.get(_MISTAKES, {}):
            terminalreporter.write_line(_without_effect(typed))  # it collects nothing, so its header can't say so
        for mistake in config.stash.get(_MISTAKES, {}):
            terminalreporter.write_line(f"ERROR: {mistake}", red=True)


def _fail_with_problems(dit_session: Session, session: pytest.Session) -> None:
    """A run whose results could not be read or written ends with exit code 1, whatever its tests said."""
    if dit_session.problems:
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
