"""Errors are one family, one line each, and help with names."""

import inspect
import pickle

import pytest

import netwarp
from netwarp import errors


def test_one_family():
    children = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]
    assert len(children) == 6
    assert all(issubclass(child, netwarp.NetWarpError) for child in children)


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("pole", ["pole_a", "sky"], "no class named 'pole': did you mean 'pole_a'?"),
        ("encoder.b4", ["encoder.b3", "encoder.b2", "up"], "did you mean 'encoder.b3' or 'encoder.b2'?"),
        ("zzz", ["a", "b"], "no class named 'zzz': known: a, b"),
        ("zzz", [], "there is none to choose from"),
        ("zzz", [f"a{i}" for i in range(30)], "a28, a29"),
        ("zzz", [f"a{i}" for i in range(300)], "a37 and 262 more"),
        ("zzz", ["fc6", "fc6, FlowCNN", "a b"], "known: fc6, 'fc6, FlowCNN', 'a b'"),
        (3, ["a"], "no class named 3: known: a"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_ones(name, known, says):
    error = errors.unknown_name("class", name, iter(known))
    assert isinstance(error, errors.ConfigurationError)
    assert says in str(error)
    assert "\n" not in str(error)


def test_a_missing_extra_says_how_to_install_it():
    error = errors.MissingExtraError("jinja2", "report", "the HTML page")
    assert "the HTML page needs jinja2" in str(error)
    assert "pip install '.[report]'" in str(error)


def test_an_option_has_the_name_of_who_reads_the_error():
    error = errors.ConfigurationError("give {option}", option="example_size")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.option) == ("give example_size=…", "example_size")
    assert again.worded(lambda name: f"--{name}") == "give --example_size"


def test_errors_come_back_from_other_processes():
    for error in (errors.InputError("no"), errors.MissingExtraError("jinja2", "report", "the HTML page")):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error)
        assert str(back) == str(error)
