"""Mutants are faults at their place; those that a test sees are caught, and the others listed."""

import ast

import pytest
from campaigns import guards, mutants
from campaigns.campaign import Broken, Outcome, tries_of
from campaigns.command import table
from campaigns.mutation import mutants as mutants_of

SOURCE = b'''"""Docs 1."""
@cache
@recorded
def less(a: int | None, b=1, *, out=None):
    """More docs, 2."""
    if a is not None and b < len(a):
        raise ValueError(f"{a + b} {\'\xc3\xa9\'}")
    a[0] = divide(a, b, axis=0, out=out)
    return -a

def __repr__(self):
    return 1 + 1
'''
LISTED = """
3: @recorded -> nothing
4: def less(a: int | None, b=1, *, out=None): -> def less(a: int | None, b=2, *, out=None):
6: if a is not None and b < len(a): -> if (a is not None or b < len(a)):
6: if a is not None and b < len(a): -> if (not (a is not None and b < len(a))):
6: if a is not None and b < len(a): -> if (a is None) and b < len(a):
6: if a is not None and b < len(a): -> if a is not None and (b <= len(a)):
6: if a is not None and b < len(a): -> if a is not None and (b >= len(a)):
7: raise ValueError(f"{a + b} {'é'}") -> pass
8: a[0] = divide(a, b, axis=0, out=out) -> pass
8: a[0] = divide(a, b, axis=0, out=out) -> a[1] = divide(a, b, axis=0, out=out)
8: a[0] = divide(a, b, axis=0, out=out) -> a[0] = divide(a, b, out=out)
8: a[0] = divide(a, b, axis=0, out=out) -> a[0] = divide(b, a, axis=0, out=out)
8: a[0] = divide(a, b, axis=0, out=out) -> a[0] = divide(a, b, axis=1, out=out)
9: return -a -> return None
9: return -a -> return (a)
"""


def test_mutants_are_all_that_can_be_a_fault():
    assert sorted(map(str, mutants_of(SOURCE))) == sorted(LISTED.strip().splitlines())


@pytest.mark.parametrize("module", ["tree.py", "compiled/source.py", "layers/core.py"])
def test_every_mutant_is_another_program_in_python(module):
    source = (mutants.PACKAGE / module).read_bytes()
    whole = ast.dump(ast.parse(source))
    for mutant in mutants_of(source):
        assert mutant.of(source)[mutant.start :].startswith(mutant.new.encode())
        assert ast.dump(ast.parse(mutant.of(source))) != whole, mutant


def test_the_nearest_tests_are_those_of_its_name_in_its_folder():
    for module, nearest in {
        "funcnn/tree.py": "tests/library/test_tree.py",
        "funcnn/ops/pooling.py": "tests/library/ops/test_pooling.py",
        "funcnn/layers/pooling.py": "tests/library/layers/test_pooling.py",
        "funcnn/_files.py": "tests/library/test_files.py",
        "funcnn/layers/core.py": "tests/library/layers/test_layers.py",
    }.items():
        first, then = guards.stages(module, (guards.ROOT / module).read_bytes(), 30)
        assert first[0] == nearest
        assert not {*first} & {*then}


def test_what_is_caught_and_what_survives(tmp_path, monkeypatch):
    """Planted: a fault that its tests see, one that never ends, and no fault."""
    module = "funcnn/views.py"
    source = (guards.ROOT / module).read_bytes()
    planted = [
        b"def unchanged(x: Array) -> Array:",
        b"def unchanged(x: Array) -> Array:\n    return x + 1\ndef _other(x: Array) -> Array:",
    ]
    assert planted[0] in source
    start = source.index(planted[0])
    before = planted[0].decode()
    changes = [planted[1].decode(), "while True: pass\n" + before, "# nothing\n" + before]
    found = [
        (module, mutants.Mutant(1, start, start + len(planted[0]), after, before, after))
        for after in changes
    ]
    monkeypatch.setattr(mutants, "drawn", lambda *given: found.pop(0))
    monkeypatch.setattr(mutants, "MOST_OF_THE_PROCESSOR", 5)
    monkeypatch.setattr(mutants, "stages", lambda *given: [["tests/library/test_views.py"]])
    (_, caught, _), (_, endless, _), (_, _, why) = tries_of(mutants.MUTANTS, tmp_path, 0, range(3))
    assert (caught, endless) == ("caught in stage 1", "caught, without an end")
    assert why.startswith("AssertionError: survived: funcnn/views.py:1: def unchanged")
    assert (guards.ROOT / module).read_bytes() == source


def test_some_may_survive_and_no_more():
    broken = [Broken(number, "survived") for number in range(9)]
    outcomes = [Outcome("mutants", "faults", tries, {}, broken, 0, 0.08) for tries in (100, 120)]
    assert [outcome.holds for outcome in outcomes] == [False, True]
    assert "9 (at most 8% may)" in table(outcomes)


def test_a_listed_equivalent_is_still_a_mutant():
    """So that the table does not keep what the library no longer has."""
    known = set()
    for path in mutants.PACKAGE.rglob("*.py"):
        if "experiments" not in path.parts and "cli" not in path.parts:
            module = str(path.relative_to(guards.ROOT))
            known |= {mutants.listed(module, mutant) for mutant in mutants_of(path.read_bytes())}
    assert {*mutants.EQUIVALENT} <= known
