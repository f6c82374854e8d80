"""The profile of a training step: what is in it. Nothing about the times but that they are some."""

import json

import pytest
from commands import funcnn, parse

import funcnn as fn
from funcnn.experiments.bench import profile
from funcnn.experiments.bench.profile import profile_step
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.target import Target


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(profile, "_SECONDS", 0.0)
    monkeypatch.setattr(profile, "_SIDES", (64,))


def profiled(arch="mlp3", threads=1, **settings):
    return profile_step(Target.of(RunConfig.resolve({"arch": arch} | settings)), threads)


def test_every_layer_and_what_is_around_them_has_a_row():
    found = profiled(batch_size=8, dropout=0.5)
    names = ["Flatten", *["Dense", "Relu", "Dropout"] * 2, "Dense"]
    names += ["loss", "optimizer", "choice of the examples"]
    assert [part.name for part in found.parts] == names
    assert [part.path for part in found.parts] == [*map(str, range(8)), "", "", ""]
    assert [part.output_shape for part in found.parts[:3]] == [(784,), (256,), (256,)]
    assert all(part.forward > 0 for part in found.parts)
    assert [part.name for part in found.parts if part.vjp is None] == names[-2:]
    assert found.step > 0
    assert (found.arch, found.batch_size) == ("mlp3", 8)


def test_the_limit_is_of_the_multiply_adds_of_forward_and_vjp():
    found = profiled(batch_size=8, threads=2)
    rate = found.multiply_adds / 1e3  # a millisecond
    # Forward, dparams and (but for the first layer with weights) dx: a product each.
    expected = {"1": 2 * 784 * 256, "3": 3 * 256 * 128, "5": 3 * 128 * 10}
    for part in found.parts:
        assert part.gemm * rate == pytest.approx(8 * expected.get(part.path, 0))
    assert found.step_gemm * rate == pytest.approx(8 * sum(expected.values()) / 2)


def test_the_weights_of_inner_layers_count_for_the_layer_that_they_are_in():
    model = fn.serial(
        fn.Dense(3), fn.residual(fn.serial(fn.Dense(5), fn.Relu(), fn.Dense(3))), fn.Relu()
    )
    _, params = model.init(fn.random.key(0), (7, 4))
    counted = profile._multiply_adds(model, params, (7, 4))
    assert counted == [2 * 7 * 4 * 3, 3 * 7 * (3 * 5 + 5 * 3), 0]


def test_the_points_are_their_whole_set_and_have_no_batches():
    assert profiled("points").batch_size == 21
    assert profiled("points", batch_size=5).batch_size == 5


def test_the_profile_is_printed_as_a_table_and_as_json():
    text = funcnn("bench", "--profile", "mlp2", "--batch-size", 4, "--threads", 1).stdout
    lines = text.splitlines()
    assert lines[0].startswith("mlp2, batch of 4, layer by layer on one thread; its GEMM does ")
    assert lines[2].split("  ")[0] == "layer"
    assert [line.split()[1] for line in lines[3:7]] == ["Flatten", "Dense", "Relu", "Dense"]
    assert lines[10].split()[0] == "sum"
    assert lines[-1].startswith("the step as it runs, 1 threads: ")
    printed = parse(funcnn("bench", "--profile", "mlp2", "--batch-size", 4, "--json"))
    assert printed["parts"][1]["output_shape"] == [128]
    assert json.dumps(printed["threads"]) == "2"
