"""The options stand in groups by what one wants to do."""

from __future__ import annotations

from harness.plugin.command_line import add_options


class Parser:
    """Keeps the options by the heading of their group."""

    def __init__(self):
        self.groups = {}

    def getgroup(self, name, description=""):
        return Group(self.groups.setdefault(description or name, []))

    def addini(self, *_, **__):
        pass


class Group:
    def __init__(self, names):
        self.names = names

    def addoption(self, name, **_):
        self.names.append(name)


def groups():
    parser = Parser()
    add_options(parser)
    return parser.groups


def test_every_option_is_in_one_group_of_few():
    names = [name for group in groups().values() for name in group]
    assert len(names) == len(set(names)) > 40
    assert all(heading.startswith("dit: ") for heading in groups())
    assert all(1 < len(group) < 15 for group in groups().values())


def test_the_groups_are_what_one_wants_to_do():
    of = {name: heading for heading, group in groups().items() for name in group}
    assert next(iter(groups())) == of["--dit-checkpoint"] == of["--dit-strategy"] == "dit: what is run"
    assert of["--dit-budget"] == of["--dit-quick"] == "dit: fewer images"
    assert of["--dit-strict"] == of["--dit-baseline-update"] == "dit: judging by stored values"
    assert of["--dit-shard"] == of["--dit-resume"] == "dit: going on with a run, and several machines"
    assert of["--dit-columns"] == "dit: output"
