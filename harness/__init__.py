"""Layer ablations of diffusion transformers as pytest cases, and as a library.

Everything that a case file or a script needs is imported from here; docs/api.md lists the names. Modules below this
one may move between releases. ``import harness`` loads none of torch, diffusers, numpy or pandas: each name is
imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness._version import __version__

if TYPE_CHECKING:
    from harness import findings
    from harness.ablation.case import Case
    from harness.ablation.grid import SAME_COST, Ask
    from harness.ablation.modifier import Modifier
    from harness.ablation.plan import Plan
    from harness.ablation.ranges import Span
    from harness.ablation.strategies import ALL_STRATEGIES, PAINTER_STRATEGIES, PART_STRATEGIES, Strategy
    from harness.analysis.study import Study
    from harness.api import load, load_run, rank, sweep
    from harness.errors import HarnessError
    from harness.findings.claim import claim
    from harness.lab.lab import Lab
    from harness.lab.layered_lab import Decomposition, LayeredLab
    from harness.lab.pictures import drawn_pictures, read_pictures
    from harness.metrics.base import Embedder, PairDistance, TextScorer
    from harness.models.declared_stacks import declare_stack
    from harness.results.journal import read as read_journal
    from harness.results.records import Measurement, Record, Status, Verdict
    from harness.surgery.export import export
    from harness.surgery.view import ablate

# Public name -> (module, name there); "" is the module itself.
_HOMES = {
    "ALL_STRATEGIES": ("harness.ablation.strategies", "ALL_STRATEGIES"),
    "Ask": ("harness.ablation.grid", "Ask"),
    "SAME_COST": ("harness.ablation.grid", "SAME_COST"),
    "Case": ("harness.ablation.case", "Case"),
    "Decomposition": ("harness.lab.layered_lab", "Decomposition"),
    "Embedder": ("harness.metrics.base", "Embedder"),
    "HarnessError": ("harness.errors", "HarnessError"),
    "Lab": ("harness.lab.lab", "Lab"),
    "LayeredLab": ("harness.lab.layered_lab", "LayeredLab"),
    "Measurement": ("harness.results.records", "Measurement"),
    "Modifier": ("harness.ablation.modifier", "Modifier"),
    "PAINTER_STRATEGIES": ("harness.ablation.strategies", "PAINTER_STRATEGIES"),
    "PART_STRATEGIES": ("harness.ablation.strategies", "PART_STRATEGIES"),
    "PairDistance": ("harness.metrics.base", "PairDistance"),
    "Plan": ("harness.ablation.plan", "Plan"),
    "Record": ("harness.results.records", "Record"),
    "Span": ("harness.ablation.ranges", "Span"),
    "Status": ("harness.results.records", "Status"),
    "Strategy": ("harness.ablation.strategies", "Strategy"),
    "Study": ("harness.analysis.study", "Study"),
    "TextScorer": ("harness.metrics.base", "TextScorer"),
    "Verdict": ("harness.results.records", "Verdict"),
    "ablate": ("harness.surgery.view", "ablate"),
    "claim": ("harness.findings.claim", "claim"),
    "declare_stack": ("harness.models.declared_stacks", "declare_stack"),
    "drawn_pictures": ("harness.lab.pictures", "drawn_pictures"),
    "export": ("harness.surgery.export", "export"),
    "findings": ("harness.findings", ""),
    "load": ("harness.api", "load"),
    "load_run": ("harness.api", "load_run"),
    "rank": ("harness.api", "rank"),
    "read_journal": ("harness.results.journal", "read"),
    "read_pictures": ("harness.lab.pictures", "read_pictures"),
    "sweep": ("harness.api", "sweep"),
}

__all__ = [
    "ALL_STRATEGIES",
    "PAINTER_STRATEGIES",
    "PART_STRATEGIES",
    "SAME_COST",
    "Ask",
    "Case",
    "Decomposition",
    "Embedder",
    "HarnessError",
    "Lab",
    "LayeredLab",
    "Measurement",
    "Modifier",
    "PairDistance",
    "Plan",
    "Record",
    "Span",
    "Status",
    "Strategy",
    "Study",
    "TextScorer",
    "Verdict",
    "__version__",
    "ablate",
    "claim",
    "declare_stack",
    "drawn_pictures",
    "export",
    "findings",
    "load",
    "load_run",
    "rank",
    "read_journal",
    "read_pictures",
    "sweep",
]


if not TYPE_CHECKING:  # so that a type checker still reports a name that isn't there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _HOMES[name]
        home = import_module(module)
        return getattr(home, attribute) if attribute else home


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
