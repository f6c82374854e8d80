"""Rules on classes and functions that a sheet's own code calls, told from the parsed source."""

import ast
import re
from collections.abc import Iterator, Mapping

from funcnn.experiments.grade.python_sources import Class, Function, Source, find_class, takes
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed


def _lacking(known: Class, methods: Mapping[str, int]) -> list[str]:
    """Which of these methods are missing, or do not take so many arguments."""
    found = []
    for name, count in methods.items():
        if name not in known.methods:
            found.append(f"no {name}")
        elif not takes(known.methods[name], count):
            found.append(f"{name} does not take {count} arguments")
    return found


def _class_verdict(
    source: Source,
    known: Mapping[str, ast.ClassDef],
    name: str,
    rule: str,
    methods: Mapping[str, int],
    attributes: tuple[str, ...] = (),
    *,
    example: bool = False,
) -> Verdict:
    """Whether a class has the methods and attributes. example: the sheet lets it be altered."""
    found = find_class(name, dict(known))
    unsure = None if example else False
    if found is None:
        there = listed(sorted(source.classes()), 6) or "none"
        return Verdict(source.name, rule, unsure, f"no class {name}; classes: {there}")
    lacking = _lacking(found, methods)
    lacking += [f"no {each}" for each in attributes if each not in found.attributes]
    return Verdict(source.name, rule, unsure if lacking else True, listed(lacking))


def network_rules(work: Work) -> Iterator[Verdict]:
    """`layer.py` and `network.py` as the sheet's training loop drives them."""
    layer, network = work.source("layer"), work.source("network")
    known = dict(layer.classes() if layer else {})
    if layer is not None:
        yield from _layer_rules(layer, known)
    if network is None:
        return
    known |= network.classes()
    imports = network.imports()
    layers = [name for name in imports if re.match(r"\.*(\w+\.)*layer\w*(\.\*)?$", name)]
    rule = "begins with from .layer import *"
    yield Verdict(
        network.name, rule, bool(layers), listed(sorted(layers), 2) or "no import of layer"
    )
    rule = "class Network: forward(input, target), backward(), update(lr)"
    methods = {"__init__": 0, "forward": 2, "backward": 0, "update": 1}
    found = find_class("Network", known)
    if found is not None and "__init__" not in found.methods:
        del methods["__init__"]
    yield _class_verdict(network, known, "Network", rule, methods)
    if found is not None and "forward" in found.methods:
        pair = _returns_pair(found.methods["forward"])
        rule = "Network.forward returns (pred, loss)"
        yield Verdict(network.name, rule, pair, "" if pair else "no return of two is seen")


def _layer_rules(layer: Source, known: dict[str, ast.ClassDef]) -> Iterator[Verdict]:
    both = [
        name
        for name in known
        if (found := find_class(name, known)) and {"forward", "backward"} <= set(found.methods)
    ]
    rule = "each layer has forward and backward"
    without = [name for name in known if name not in both]
    shown = listed(sorted(both), 6) if both else "no class has both"
    if both and without:
        shown += f"; without: {listed(sorted(without), 3)}"
    yield Verdict(layer.name, rule, len(both) > 1, shown)
    rule = "FullyConnected(in_features, out_features) with weight, bias, weight_grad, bias_grad"
    attributes = ("weight", "bias", "weight_grad", "bias_grad")
    methods = {"__init__": 2, "forward": 1, "backward": 1}
    yield _class_verdict(layer, known, "FullyConnected", rule, methods, attributes, example=True)
    rule = "SoftmaxWithloss: forward(input, target), backward()"
    methods = {"forward": 2, "backward": 0}
    yield _class_verdict(layer, known, "SoftmaxWithloss", rule, methods, example=True)


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
    lacking = [n for n, form in wanted.items() if not any(re.search(form, each) for each in calls)]
    found = f"it does not call {listed(lacking)}" if lacking else ""
    yield Verdict(source.name, rule, not lacking or None, found)


def net_rules(work: Work) -> Iterator[Verdict]:
    """The second part of `fashion`, in PyTorch."""
    source = work.source("task2")
    if source is None:
        return
    found = find_class("Net", source.classes())
    module = found is not None and any(base.split(".")[-1] == "Module" for base in found.bases)
    yield Verdict(source.name, "class Net(nn.Module)", module, "" if module else _classes(source))
    made = "net" in source.names() and "Net" in source.calls()
    yield Verdict(source.name, "net = Net()", made, "" if made else "it does not stand there")


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
        if version or source.faults:
            yield Verdict(source.name, rule, not source.faults, listed(list(source.faults), 2))


def mlp_rules(work: Work) -> Iterator[Verdict]:
    """The classes of `fashion-mlp`, and the cells that use them."""
    source = work.source("notebook")
    if source is None:
        return
    known = source.classes()
    for name, rule, methods in (
        ("myActivation", "class myActivation(nn.Module)", {"forward": 1}),
        (
            "myMLP",
            "class myMLP(nn.Module) of (input_dim, num_classes)",
            {"__init__": 2, "forward": 1},
        ),
        ("myLoss", "class myLoss(nn.Module): forward(outputs, targets)", {"forward": 2}),
    ):
        verdict = _class_verdict(source, known, name, rule, methods)
        found = find_class(name, known)
        if found is not None and not any(base.split(".")[-1] == "Module" for base in found.bases):
            verdict = verdict._replace(holds=False, found="it is no nn.Module")
        yield verdict
    steps = [name for name in known if "step" in find_methods(name, known)]
    uses_groups = any("param_groups" in piece.text for piece in source.pieces)
    rule = "an optimizer of one's own in torch's form: step(), param_groups"
    found_words = (
        listed(steps) if steps and uses_groups else "no class has a step over param_groups"
    )
    yield Verdict(source.name, rule, bool(steps) and uses_groups, found_words)
    calls = source.calls()
    rule = "the sheet's cells: criterion = myLoss(), loss.backward(), optimizer.step()"
    wanted = {"myLoss()": "myLoss", ".backward()": ".backward", ".step()": ".step"}
    lacking = [
        shown for shown, end in wanted.items() if not any(call.endswith(end) for call in calls)
    ]
    lacking += [] if "criterion" in source.names() else ["criterion ="]
    found_words = f"no {listed(lacking)}" if lacking else ""
    yield Verdict(source.name, rule, not lacking, found_words)


def find_methods(name: str, known: Mapping[str, ast.ClassDef]) -> set[str]:
    """The names of a class's methods."""
    found = find_class(name, dict(known))
    return set(found.methods) if found else set()


def _classes(source: Source) -> str:
    return f"classes: {listed(sorted(source.classes()), 6) or 'none'}"
