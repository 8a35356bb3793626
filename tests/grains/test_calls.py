"""Counting what was changed, and taking hooks away."""

from __future__ import annotations

import pytest
from torch import nn

from harness.errors import SurgeryError
from harness.grains.calls import Calls, counted, remove_after


def test_nothing_changed_is_an_error_only_where_something_was_expected():
    with pytest.raises(SurgeryError, match="frozen: no call of a block was changed"), counted(Calls("frozen")):
        pass
    calls = Calls("frozen")
    with counted(calls, expected=False):
        pass
    assert not calls.counts
    with counted(calls):
        calls.note(3)
        calls.note(3)
    assert calls.counts == {3: 2}


def test_hooks_go_with_an_exception_which_stays_the_one_that_is_told():
    module = nn.Identity()

    def fail():
        with counted(Calls("x")) as hooks:
            remove_after(hooks, module.register_forward_hook(lambda *_: None))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not module._forward_hooks
