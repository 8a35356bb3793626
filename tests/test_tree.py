"""The tests mirror the tree: every module has its test file, and every test file its module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import harness

TESTS = Path(__file__).parent
HOUSE = Path(harness.__file__).parent
APART = {"e2e", "benchmarks", "helpers"}  # folders that mirror nothing

# Modules, or whole folders, without a test file of their name: where they are tested, and why there.
ELSEWHERE = {
    "__init__.py": ("test_public_names.py", "it hands out names of other modules"),
    "findings/__init__.py": ("test_public_names.py", "it hands out names of other modules"),
    "__main__.py": ("cli/test_main.py", "it is the face of cli/"),
    "_version.py": ("cli/test_main.py", "one text"),
    "cli/diffusers_checkout.py": ("e2e/test_environments.py", "it asks git"),
    "cli/environments.py": ("e2e/test_environments.py", "it makes virtual environments with venv and pip"),
    "cli/fingerprint.py": ("e2e/test_commands.py", "what it prints must agree between processes"),
    "cli/tiny.py": ("e2e/test_training.py", "it calls the training and the model cards"),
    "cli/common.py": ("cli/test_compare.py", "one option that several commands have"),
    "cli/grid_options.py": ("cli/test_list.py", "options of two commands"),
    "gates/rigour.py": ("gates/test_verdict.py", "three words, which a verdict follows"),
    "lab/variant_figures.py": ("lab/test_lab.py", "what a lab says of each variant"),
    "lab/protocol.py": ("lab/test_random_lab.py", "what both labs have in common, as types"),
    "models/kernels.py": ("models/test_arithmetic.py", "which kernels compute, as the digest shows"),
    **{
        f"models/families/{name}.py": ("models/families/test_families.py", "every family must have every part")
        for name in ("auraflow", "base", "flux", "registry", "sd3")
    },
    "plugin/__init__.py": ("e2e/test_run.py", "pytest calls the hooks"),
    "plugin/adaptive_session.py": ("e2e/test_option_adaptive.py", "the variants of a run, measured together"),
    "plugin/analysis_session.py": ("e2e/test_analysis.py", "the analyses of a run"),
    "plugin/benchmark.py": ("e2e/test_latency.py", "pytest-benchmark runs the loop"),
    "plugin/fixtures": ("e2e/test_run.py", "fixtures are met in a run of pytest"),
    "plugin/header.py": ("e2e/test_run.py", "the first lines of a run"),
    "plugin/labs.py": ("e2e/test_verdicts.py", "the labs of a run, by its options"),
    "plugin/options.py": ("e2e/test_wrong_input.py", "pytest reads the command line; one file an option there"),
    "plugin/mistakes.py": ("plugin/test_collection.py", "what a collection keeps until -k is known"),
    "plugin/option_values.py": ("e2e/test_option_file.py", "pytest reads the configuration file"),
    "plugin/session.py": ("e2e/test_run.py", "the life of a run of pytest"),
    "report/analysis_page.py": ("e2e/test_analysis.py", "the page of a run's analyses"),
    "report/cost_line.py": ("lab/test_cost.py", "a sentence about the cost that is counted there"),
    "report/false_reds_page.py": ("cli/test_false_reds.py", "the page that one command prints"),
    "report/power_page.py": ("gates/validation/test_power.py", "the page that one command prints"),
    "results/arrays.py": ("metrics/test_metric_set.py", "names of types, which say what passes between metrics"),
    "results/judge_check.py": ("metrics/test_judge_check.py", "the result of the check that is made there"),
    "results/pareto.py": ("results/test_ranking.py", "the marks in a ranking"),
    "results/ranking_row.py": ("results/test_ranking.py", "the rows of a ranking"),
    "results/history.py": ("results/test_make_history.py", "what a history holds, as it is made there"),
    "results/notebook_figure.py": (
        "results/test_measurement_notebook.py",
        "the class of the figures that are drawn there",
    ),
    "results/strategy_summary.py": ("results/test_ranking.py", "the summary below a ranking"),
    "results/figure.py": ("results/test_columns.py", "the type of a declared figure"),
    "results/figure_table.py": ("results/test_columns.py", "the declared figures, and who follows them"),
    "results/figure_table_extra.py": ("results/test_columns.py", "the declared figures, and who follows them"),
    "workers/case_records.py": ("test_api.py", "what api.sweep does with each case"),
    "workers/slurm.py": ("e2e/test_slurm.py", "submitit starts processes"),
    "results/model_survey.py": ("report/test_models_page.py", "what a survey finds, as data"),
    "surgery/slot.py": ("surgery/test_view.py", "a view is a row of slots"),
    "surgery/deferred.py": ("survey/test_survey_positions.py", "data by index, on the models that have it"),
    "survey/reference.py": ("survey/test_survey.py", "the slow references of the survey's checks"),
    "survey/tiny_config.py": ("survey/test_survey.py", "every class is built by it"),
    "survey/tiny_inputs.py": ("survey/test_survey.py", "every class is run on them"),
    "tiny/auraflow.py": ("e2e/test_training.py", "a recipe: trained for two steps"),
    "tiny/sd3.py": ("e2e/test_training.py", "a recipe: trained for two steps"),
}
# Test files about no module, and what they are about.
OF_THE_REPOSITORY = {
    "test_contributing.py": "the pages for contributors, and the hooks",
    "test_tree.py": "the tests",
    "test_public_names.py": "docs/api.md and what the package hands out",
    "survey/test_oracle.py": "contracts against another project's adapters",
}


def modules():
    """Modules with something in them; a package is its ``__init__.py``."""
    for path in sorted(HOUSE.rglob("*.py")):
        if path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 1:
            yield path.relative_to(HOUSE)


def wanted(module):
    """The name that a module's test file begins with: a package's is that of its folder."""
    name = module.parent.name if module.name == "__init__.py" else module.stem.strip("_")
    return TESTS / module.parent / f"test_{name}"


def unit_files():
    return {p for p in TESTS.rglob("test_*.py") if not APART & set(p.relative_to(TESTS).parts)}


def files_of(module):
    """test_<module>.py, and test_<module>_<what>.py unless that is another module's."""
    start = wanted(module)
    others = {wanted(other).name for other in modules() if other.parent == module.parent} - {start.name}
    return {
        p
        for p in unit_files()
        if p.parent == start.parent
        and (p.stem == start.name or (p.stem.startswith(f"{start.name}_") and p.stem not in others))
    }


def entry(module):
    """The module's place in ELSEWHERE, or that of a folder that it is in."""
    return next((e for e in ELSEWHERE if e == module.as_posix() or module.as_posix().startswith(f"{e}/")), None)


@pytest.mark.parametrize("module", [pytest.param(m, id=m.as_posix()) for m in modules()])
def test_every_module_has_its_test_file_or_a_reason(module):
    if entry(module) is None:
        assert files_of(module), f"write {wanted(module).relative_to(TESTS)}.py, or say in ELSEWHERE why not"
    else:
        assert not files_of(module), f"{module} has its own test file: take it out of ELSEWHERE"


def test_every_test_file_has_its_module():
    known = set().union(*(files_of(module) for module in modules()))
    known |= {TESTS / where for where, _ in ELSEWHERE.values()} | {TESTS / name for name in OF_THE_REPOSITORY}
    assert sorted(str(p.relative_to(TESTS)) for p in unit_files() - known) == []


def test_what_is_listed_is_there():
    names = {m.as_posix() for m in modules()}
    for name, (where, reason) in ELSEWHERE.items():
        assert name in names or any(n.startswith(f"{name}/") for n in names), name
        assert (TESTS / where).is_file(), where
        assert reason
    assert all((TESTS / name).is_file() for name in OF_THE_REPOSITORY)


def test_no_test_file_imports_another_one():
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            for name in names:
                last = name.rpartition(".")[2]
                assert not last.startswith("test_"), f"{path.relative_to(TESTS)} imports {name}"


def test_what_starts_a_process_or_a_pytest_is_end_to_end():
    """pytester, subprocess and multiprocessing; the helpers are called by such tests alone."""
    words = {"pytester", "subprocess", "multiprocessing"}
    for path in unit_files():
        tree = ast.parse(path.read_text())
        named = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
            n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)
        }
        assert not named & words, f"{path.relative_to(TESTS)} belongs into tests/e2e"
