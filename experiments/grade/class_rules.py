"""Rules on classes and functions that a sheet's own code calls, told from the parsed source."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping

from funcnn.experiments.grade.classes import Classes, lacking
from funcnn.experiments.grade.python_sources import Function, Source
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed

_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def _class_verdict(
    source: Source,
    classes: Classes,
    name: str,
    rule: str,
    methods: Mapping[str, int],
    attributes: tuple[str, ...] = (),
    *,
    example: bool = False,
) -> Verdict:
    """Whether a class has the methods and attributes. example: the sheet lets it be altered."""
    unsure = None if example or source.faults else False
    if name not in classes:
        return Verdict(source.name, rule, unsure, f"no class {name}; {_classes(source)}")
    missing = lacking(classes, name, methods)
    if attributes:
        there = classes.attributes(name)
        missing += [f"no {each}" for each in attributes if each not in there]
    return Verdict(source.name, rule, unsure if missing else True, listed(missing))


def network_rules(work: Work) -> Iterator[Verdict]:
    """`layer.py` and `network.py` as the sheet's training loop drives them."""
    layer, network = work.source("layer"), work.source("network")
    if layer is not None:
        yield from _layer_rules(layer)
    if network is None:
        return
    classes = Classes(layer, network)
    imports = network.imports()
    layers = [name for name in imports if re.match(r"\.*(\w+\.)*layer\w*(\.\*)?$", name)]
    rule = "begins with from .layer import *"
    holds = bool(layers) or (None if network.faults else False)
    found = listed(sorted(layers), 2) or "no import of layer"
    yield Verdict(network.name, rule, holds, found)
    rule = "class Network: forward(input, target), backward(), update(lr)"
    methods = {"__init__": 0, "forward": 2, "backward": 0, "update": 1}
    if "Network" in classes and classes.method("Network", "__init__") is None:
        del methods["__init__"]
    yield _class_verdict(network, classes, "Network", rule, methods)
    forward = classes.method("Network", "forward")
    if forward is not None:
        pair = _returns_pair(forward)
        rule = "Network.forward returns (pred, loss)"
        yield Verdict(network.name, rule, pair, "" if pair else "no return of two is seen")


def _layer_rules(layer: Source) -> Iterator[Verdict]:
    classes = Classes(layer)
    both = classes.having("forward", "backward")
    rule = "each layer has forward and backward"
    without = sorted(set(classes.names) - set(both))
    shown = listed(sorted(both), 6) if both else "no class has both"
    if both and without:
        shown += f"; without: {listed(without, 3)}"
    enough = len(both) > 1
    yield Verdict(layer.name, rule, enough or (None if layer.faults else False), shown)
    rule = "FullyConnected(in_features, out_features) with weight, bias, weight_grad, bias_grad"
    attributes = ("weight", "bias", "weight_grad", "bias_grad")
    methods = {"__init__": 2, "forward": 1, "backward": 1}
    yield _class_verdict(layer, classes, "FullyConnected", rule, methods, attributes, example=True)
    rule = "SoftmaxWithloss: forward(input, target), backward()"
    methods = {"forward": 2, "backward": 0}
    yield _class_verdict(layer, classes, "SoftmaxWithloss", rule, methods, example=True)


def _returns_pair(function: Function) -> bool | None:
    """Whether it returns two values; None: that is not seen from a tuple."""
    returns = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
    pairs = [isinstance(value, ast.Tuple) and len(value.elts) == 2 for value in returns]
    return True if pairs and all(pairs) else None


def loop_rules(work: Work) -> Iterator[Verdict]:
    """The sheet's own loop stands in the notebook of the network from scratch."""
    source = work.source("task1") or work.source("notebook")
    if source is None:
        return
    calls = source.calls()
    rule = "the sheet's loop: model.Network(), net.forward, net.backward, net.update"
    wanted = {"Network": r"(^|\.)Network$"}
    wanted |= {name: rf"(^|\.)\w+\.{name}$" for name in ("forward", "backward", "update")}
    missing = [n for n, form in wanted.items() if not any(re.search(form, each) for each in calls)]
    found = f"it does not call {listed(missing)}" if missing else ""
    yield Verdict(source.name, rule, not missing or None, found)


def net_rules(work: Work) -> Iterator[Verdict]:
    """The second part of `fashion`, in PyTorch; its names may be altered."""
    source = work.source("task2")
    if source is None:
        return
    module = Classes(source).is_module("Net") if "Net" in source.classes() else None
    yield Verdict(source.name, "class Net(nn.Module)", module, "" if module else _classes(source))
    made = any(call.split(".")[-1] == "Net" for call in source.calls())
    made = made and "net" in source.names()
    found = "" if made else "it does not stand there"
    yield Verdict(source.name, "net = Net()", made or None, found)


def settings_rule(work: Work) -> Iterator[Verdict]:
    """The names of the hyper-parameters."""
    for kind in ("task1", "task2", "notebook"):
        source = work.source(kind)
        if source is not None:
            missing = [
                n for n in ("EPOCH", "Batch_size", "Learning_rate") if n not in source.names()
            ]
            rule = "the names EPOCH, Batch_size, Learning_rate"
            found = f"no {listed(missing)}" if missing else ""
            yield Verdict(source.name, rule, not missing or None, found)


def grammar_rule(work: Work) -> Iterator[Verdict]:
    """All Python is of the version that the sheet's machines have, as far as its grammar goes."""
    version = work.sheet.python
    for source in work.sources.values():
        rule = "parsed as Python"
        if version:
            rule = f"Python {'.'.join(map(str, version))}, as its grammar goes"
        faults = source.faults
        found = listed([fault.text for fault in faults], 2)
        holds: bool | None = not faults
        if faults and all(fault.newer for fault in faults):
            holds, found = None, f"{found}: no Python {_HERE}, but perhaps of a later one"
        if version or faults:
            yield Verdict(source.name, rule, holds, found)


def mlp_rules(work: Work) -> Iterator[Verdict]:
    """The classes of `fashion-mlp`, and the cells that use them."""
    source = work.source("notebook")
    if source is None:
        return
    classes = Classes(source)
    for name, rule, methods in (
        ("myActivation", "class myActivation(nn.Module)", {"forward": 1}),
        (
            "myMLP",
            "class myMLP(nn.Module) of (input_dim, num_classes)",
            {"__init__": 2, "forward": 1},
        ),
        ("myLoss", "class myLoss(nn.Module): forward(outputs, targets)", {"forward": 2}),
    ):
        verdict = _class_verdict(source, classes, name, rule, methods)
        module = classes.is_module(name)
        if name in classes and not module:
            verdict = verdict._replace(holds=module, found="no nn.Module among its bases")
        yield verdict
    steps = classes.having("step")
    uses_groups = any("param_groups" in piece.text for piece in source.pieces)
    rule = "an optimizer of one's own in torch's form: step(), param_groups"
    found_words = (
        listed(steps) if steps and uses_groups else "no class has a step over param_groups"
    )
    unsure = None if source.faults else False
    yield Verdict(source.name, rule, (bool(steps) and uses_groups) or unsure, found_words)
    calls = source.calls()
    rule = "the sheet's cells: criterion = myLoss(), loss.backward(), optimizer.step()"
    wanted = {"myLoss()": "myLoss", ".backward()": ".backward", ".step()": ".step"}
    missing = [
        shown for shown, end in wanted.items() if not any(call.endswith(end) for call in calls)
    ]
    missing += [] if "criterion" in source.names() else ["criterion ="]
    found_words = f"no {listed(missing)}" if missing else ""
    yield Verdict(source.name, rule, not missing or unsure, found_words)


def _classes(source: Source) -> str:
    return f"classes: {listed(sorted(source.classes()), 6) or 'none'}"
