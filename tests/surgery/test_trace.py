"""The trace of what ran."""

from __future__ import annotations

import pytest

from harness.ablation.plan import parse
from harness.errors import SurgeryError
from harness.surgery.trace import check_trace, traced
from tests.helpers import models
from tests.helpers.models import run

pytestmark = pytest.mark.parametrize(("family", "stack"), models.STACKS)


def test_trace_of_another_plan_is_an_error(model, stack):
    transformer, arguments = model
    with traced(transformer, stack) as ran:
        run(transformer, arguments)
    with pytest.raises(SurgeryError, match="did not take hold"):
        check_trace(ran, parse("0 1"), stack)
