"""What a comparison found, in sentences made of its numbers and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from funcnn.experiments.compare.lockstep_table import APART, ROUNDING
from funcnn.experiments.compare.results import LARGER_THAN

WORDS = {
    "test_accuracy": "test accuracy",
    "val_accuracy": "best validation accuracy",
    "inputs": "test inputs",
}
_TREES = {"loss": "the loss", "grads": "the gradient", "params": "the params"}


def of_free(
    free: Mapping[str, Any],
    in_words: Callable[[str], str] = str,
    words: Mapping[str, str] = WORDS,
) -> list[str]:
    """Whether the accuracies differ, where, and how often the two disagree.

    in_words: what a backend is called there, and a run by the name of its folder. words: what the
    accuracy is called that is compared, and the inputs on which they disagree.
    """
    sentences = [_of_difference(free, in_words, words)]
    confusion = free["confusion"]
    if confusion is not None:
        sentences.append(_of_confusion(confusion["largest"], in_words("torch")))
    agreement = free["agreement"]
    first, *others = (
        _put_apart([*map(in_words, pair["runs"])], pair["different"], agreement["inputs"])
        for pair in agreement["pairs"]
    )
    sentence = f"Of {agreement['inputs']:,} {words['inputs']} {first}"
    if others:
        by_seed = "; ".join(others)
        sentence += f". As a yardstick, another seed on one side alone: {by_seed}"
    return [*sentences, f"{sentence}."]


def _of_confusion(most: Mapping[str, Any], torch: str) -> str:
    true, predicted, difference = most["true"], most["predicted"], most["difference"]
    if not difference:
        return "The confusion matrices are equal."
    where = f"{true} is recognised" if true == predicted else f"{true} is taken for {predicted}"
    more = "more" if difference > 0 else "less"
    return (
        f"The confusion matrices of all runs together differ most where {where}: {torch}'s runs do "
        f"so {abs(100 * difference):.1f} points of that class {more} often."
    )


def _put_apart(runs: Sequence[str], different: int, inputs: int) -> str:
    return (
        f"{runs[0]} and {runs[1]} put {different:,} ({different / inputs:.1%}) into different "
        "classes"
    )


def _of_difference(
    free: Mapping[str, Any], in_words: Callable[[str], str], words: Mapping[str, str]
) -> str:
    difference = free["difference"]
    if difference is None:
        return "There are no labels beside those of training, and so no accuracy to compare."
    numpy, torch = (free["sides"][name][difference["of"]]["mean"] for name in ("numpy", "torch"))
    seeds = difference["seeds"]
    runs = "one run each" if seeds == 1 else f"the means of {seeds} seeds each"
    score = words[difference["of"]].capitalize()
    means = f"{in_words('numpy')} {numpy:.2%}, {in_words('torch')} {torch:.2%}"
    text = f"{score}: {means}, {runs}. "
    apart = f"{abs(100 * difference['difference']):.2f} points"
    if difference["larger"] is None:
        return (
            f"{text}They are {apart} apart; one seed has no spread, so this cannot tell whether "
            "that is more than chance."
        )
    error = 100 * LARGER_THAN * difference["standard_error"]
    text += f"The difference of {apart} is "
    if not difference["larger"]:
        return text + (
            f"not larger than twice its standard error over the seeds, {error:.2f} points: these "
            "runs show no difference beyond the spread."
        )
    return text + (
        f"larger than twice its standard error over the seeds, {error:.2f} points. The chance that "
        "two equal sides are so many standard errors apart is "
        f"{difference['chance']:.2g} for {seeds} seeds (if accuracies spread normally)."
    )


def of_lockstep(by_dtype: Mapping[str, Any], layers: Mapping[str, str]) -> list[str]:
    """Whether float64 stays at rounding level; how float32 grows, from where, and why.

    by_dtype: for each dtype what `summarise` returns. layers: their names, by path.
    """
    return [*_of_float64(by_dtype["float64"]), *_of_float32(by_dtype, layers)]


def _of_float64(double: Mapping[str, Any]) -> list[str]:
    largest = double["largest"]
    numbers = ", ".join(f"{_TREES[name]} {value:.1e}" for name, value in largest.items())
    holds = "holds" if double["below_rounding"] else "does NOT hold"
    sentence = (
        f"Lockstep in float64, {double['steps']} steps: below {ROUNDING:g} {holds}; the largest "
        f"relative differences are {numbers}."
    )
    if double["below_rounding"]:
        sentence += " With the same start, batches and masks both sides compute the same training."
    return [sentence]


def _of_float32(by_dtype: Mapping[str, Any], layers: Mapping[str, str]) -> list[str]:
    single = by_dtype["float32"]
    first = single["first_apart"]
    sentences = [
        f"Lockstep in float32, {single['steps']} steps: {_passing('params', first)}, "
        f"{_passing('grads', first)}; at the last step they are {single['last']['params']:.1e} "
        f"and {single['last']['grads']:.1e} apart."
    ]
    growth = single["params_by_layer"]
    if growth["first"] is not None:
        sentences.append(
            f"Of the params, the share of {_layer(growth['first'], layers)} was the first above "
            f"{growth['level']:g}, at step {growth['step']}; at the end that of "
            f"{_layer(growth['largest_at_end'], layers)} is the largest, "
            f"{growth['share_at_end']:.1e}."
        )
    return [*sentences, _of_switches(by_dtype)]


def _passing(name: str, first: Mapping[str, int | None]) -> str:
    step = first[name]
    when = "at no step" if step is None else f"first at step {step}"
    return f"the difference of {_TREES[name]} is above {APART:g} {when}"


def _of_switches(by_dtype: Mapping[str, Any]) -> str:
    single, double = by_dtype["float32"]["first_switch"], by_dtype["float64"]["first_switch"]
    if single is None:
        sentence = "No ReLU (or its kin) switched in float32"
    else:
        sentence = (
            f"The first ReLU (or its kin) switched in float32 at step {single['step']}, when the "
            f"params were {single['params_before']:.1e} apart: above 0 on one side alone, so that "
            "its derivative is another there, and a rounding becomes a difference of the "
            "gradient's own size"
        )
    also = "none switched" if double is None else f"the first switched at step {double['step']}"
    return f"{sentence}. In float64 {also}."


def _layer(path: str, layers: Mapping[str, str]) -> str:
    return f"layer {path} ({layers[path]})"
