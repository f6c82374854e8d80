"""What a setting may be stands once: the option, the check and the help text are made of it."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcnn.cli.sweep import sweep
from funcnn.cli.train import train
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.settings import Choice, Flag, NameOrReference, as_option, parse_sizes

OPTIONS = {option.name: option for option in train.params}


def test_every_setting_is_an_option_of_train_and_but_the_architecture_of_sweep():
    assert set(SETTINGS) <= set(OPTIONS)
    assert set(SETTINGS) - {option.name for option in sweep.params} == {"arch"}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_default_is_what_its_option_makes_of_its_text(arch):
    config = RunConfig.resolve({"arch": arch})
    for name, setting in SETTINGS.items():
        value = getattr(config, name)
        if value is not None and not isinstance(setting.kind, Flag):
            taken = OPTIONS[name].process_value(click.Context(train), as_option(value))
            assert (taken, type(taken)) == (value, type(value))


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_has_the_choices_and_the_words_of_its_setting(name):
    setting, option = SETTINGS[name], OPTIONS[name]
    assert option.help.startswith(setting.about)
    assert ("[default: " in option.help) != isinstance(setting.kind, Flag)
    named = isinstance(setting.kind, Choice | NameOrReference)  # one's own is for --model
    choices = setting.kind.names if named else ()
    assert list(getattr(option.type, "choices", ())) == list(choices)


def test_an_architecture_says_only_what_is_not_so_in_most():
    for architecture in ARCHITECTURES.values():
        for name, value in architecture.training.items():
            assert value != SETTINGS[name].default or name == "batch_size"  # of most of images


@given(st.lists(st.integers(1, 2**31 - 1)).map(tuple))
def test_sizes_are_read_as_they_are_written(sizes):
    assert parse_sizes(sizes_text(sizes)) == sizes


@pytest.mark.parametrize("text", ["", "x", "4x", "x4", "4X8", "4,8", "-4", "4x-8", " 4", "²", "٣"])
def test_what_is_no_list_of_sizes_is_refused(text):
    with pytest.raises(ValueError, match=r"give sizes as 256x128, or 0 for none$") as caught:
        parse_sizes(text)
    assert str(caught.value).startswith(repr(text))
