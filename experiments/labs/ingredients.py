"""What the ingredients of a recipe gave: each is left out, at a sixth of the epochs, or added."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from funcnn.experiments.labs import sections
from funcnn.experiments.labs.judgements import epochs_in_words
from funcnn.experiments.labs.lab import Results, Trial
from funcnn.experiments.labs.steps import step_in_words
from funcnn.experiments.labs.tables import Setting, sweep
from funcnn.experiments.reports.document import Items, Section, Text
from funcnn.experiments.tasks.augmentations import NONE
from funcnn.experiments.tasks.config import RunConfig

_AUGMENTATIONS = {
    "shifts": "shift",
    "flips": "flip",
    "deformations": "affine",
    "erasing": "erase",
}


class Ingredients(NamedTuple):
    """A recipe that a lab trains, and what is tried beside it, in NumPy, for a sixth of its epochs.

    The whole schedule is for what is handed in.
    """

    main: Trial
    """The recipe."""
    ours: Trial
    """A sixth of it, which the others are held against."""
    without: Mapping[str, Trial]
    """By what is left out."""
    added: Mapping[str, Trial]
    """By what it has more."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All of them, the recipe first."""
        return self.main, self.ours, *self.without.values(), *self.added.values()

    def rest(self, results: Results) -> str:
        """What everything that is tried has in common."""
        epochs, whole = (results.config(trial).epochs for trial in (self.ours, self.main))
        sixth = "" if epochs == whole else f", a sixth of the {whole} of what is handed in"
        return f"NumPy; {epochs_in_words(epochs)}{sixth}; everything else as above"


def ingredients_of(main: Trial, *, name: str = "", also: Sequence[str] = ()) -> Ingredients:
    """What is tried beside a trial. name: the prefix of its trials' names.

    also: words of `_AUGMENTATIONS`, which are added if the trial has them not.
    """
    recipe = RunConfig.resolve(main.settings)
    parts = [] if recipe.augment == NONE else recipe.augment.split("+")
    assert {part.partition("=")[0] for part in parts} <= {*_AUGMENTATIONS.values()}

    def augmented(*parts: str) -> dict[str, Any]:
        return {"augment": "+".join(parts) or NONE}

    left_out = {
        **{
            word: augmented(*(part for part in parts if part.partition("=")[0] != kind))
            for word, kind in _AUGMENTATIONS.items()
        },
        "label smoothing": {"label_smoothing": 0.0},
        "weight decay": {"weight_decay": 0.0},
        "averaging": {"average": 0.0},
        "the falling rate": {"schedule": "constant"},
    }
    ours = main.in_numpy(f"{name}sixth", epochs=max(1, recipe.epochs // 6))
    without = {
        word: ours.in_numpy(f"{name}without-{word.replace(' ', '-')}", **changed)
        for word, changed in left_out.items()
        if any(getattr(recipe, setting) != value for setting, value in changed.items())
    }
    added = {
        word: ours.in_numpy(f"{name}with-{word}", **augmented(*parts, _AUGMENTATIONS[word]))
        for word in also
        if word not in without
    }
    return Ingredients(main, ours, without, added)


def with_augmentations(main: Trial, changes: Mapping[str, str]) -> dict[str, Trial]:
    """A trial with each of these settings of `augment`, in NumPy, for all its epochs."""
    return {
        word: main.in_numpy(f"{main.name}-{word.replace(' ', '-')}", augment=augment)
        for word, augment in changes.items()
    }


def what_augmentation_gave(results: Results, main: Trial, tried: Mapping[str, Trial]) -> Section:
    """A sentence on each of `with_augmentations`, with what it gained or cost."""
    words = Text(
        f"The {main.called} above sees its training images as they are. With images that are "
        f"changed, other ones in every one of the {epochs_in_words(results.config(main).epochs)}, "
        "and everything else as it is:"
    )
    said = [step_in_words(results, word, main, trial) for word, trial in tried.items()]
    return Section("Augmentation", (words, Items(said)))


def what_each_gave(results: Results, tried: Ingredients) -> Section:
    """A table of accuracies, their curves, and a sentence on each ingredient."""
    whole = Setting("everything", tried.ours)
    without = {word: Setting(f"without {word}", trial) for word, trial in tried.without.items()}
    more = {word: Setting(f"with {word}", trial) for word, trial in tried.added.items()}
    section = sweep(
        *(results, "What each ingredient gave", [whole, *without.values(), *more.values()]),
        *("trained with", "ingredients", tried.rest(results)),
    )
    said = [
        *(step_in_words(results, word, left.trial, tried.ours) for word, left in without.items()),
        *(step_in_words(results, word, tried.ours, added.trial) for word, added in more.items()),
    ]
    tried_too = f", and {' and '.join(more)} are tried, which it has not" if more else ""
    words = (
        f"The training of the {tried.main.called} has several ingredients. These are left out, one "
        f"at a time, with everything else as it is{tried_too}. A shorter training has less use for "
        "what keeps a long one from learning its images by heart: in the whole one such an "
        "ingredient may give more."
    )
    return sections.titled(section.title, [Text(words)], section.blocks, [Items(said)])
