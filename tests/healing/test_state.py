"""The state on disk: what is kept, what it is refused for, and that nothing is pickled."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from harness.errors import HarnessError
from harness.healing.state import Progress, State, is_begun, read_state

SETTINGS = {"plans": {"double": "0 2-4"}, "steps": 10, "betas": (0.9, 0.98)}


def trained(seed=0, steps=2):
    torch.manual_seed(seed)
    layer = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        layer(torch.ones(1, 3)).sum().backward()
        optimiser.step()
    return dict(layer.named_parameters()), optimiser


def test_weights_and_optimiser_come_back(tmp_path):
    parameters, optimiser = trained()
    state = State(tmp_path, SETTINGS)
    assert not is_begun(tmp_path)
    state.begin()
    assert is_begun(tmp_path)
    assert state.restore(*trained(seed=1)) == Progress()
    state.save(Progress(1, ((3.0, 2.0, 1.0),)), parameters, optimiser)
    state.save(Progress(2, ((3.0, 2.0, 1.0), (2.0, 1.5, 0.5))), parameters, optimiser)
    others, other_optimiser = trained(seed=1, steps=5)
    assert State(tmp_path, SETTINGS).restore(others, other_optimiser).losses[1] == (2.0, 1.5, 0.5)
    for name, parameter in parameters.items():
        assert torch.equal(parameter, others[name])
        mine, theirs = optimiser.state[parameter], other_optimiser.state[others[name]]
        assert torch.equal(mine["exp_avg"], theirs["exp_avg"])
        assert torch.equal(mine["exp_avg_sq"], theirs["exp_avg_sq"])
        assert float(theirs["step"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-00000002.safetensors", "state.json"]


def test_a_state_that_was_killed_while_it_was_saved_is_the_one_before(tmp_path):
    parameters, optimiser = trained()
    state = State(tmp_path, SETTINGS)
    state.save(Progress(1, ((3.0, 2.0, 1.0),)), parameters, optimiser)
    (tmp_path / "state-00000002.safetensors").write_bytes(b"half")  # its JSON was not written any more
    assert state.restore(*trained(seed=1)).step == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 20}, r"was begun with steps 10, and this is 20; give the same settings to go on"),
        ({"plans": {"double": "0-3"}}, "was begun with plans .*0 2-4.*, and this is .*0-3"),
        ({"new": 1}, "was begun with new None, and this is 1"),
    ],
)
def test_other_settings_are_named(changes, message, tmp_path):
    State(tmp_path, SETTINGS).begin()
    with pytest.raises(HarnessError, match=message):
        State(tmp_path, {**SETTINGS, **changes}).restore(*trained())
    with pytest.raises(HarnessError, match=message):
        State(tmp_path, {**SETTINGS, **changes}).check()


def test_what_is_damaged_is_named(tmp_path):
    parameters, optimiser = trained()
    state = State(tmp_path, SETTINGS)
    state.save(Progress(1, ((3.0, 2.0, 1.0),)), parameters, optimiser)
    (tmp_path / "state-00000001.safetensors").write_bytes(b"no weights")
    with pytest.raises(HarnessError, match="can't be gone on from"):
        state.restore(parameters, optimiser)
    (tmp_path / "state.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(HarnessError, match="it is of another version, or incomplete"):
        read_state(tmp_path)
