"""A function of two arguments that is recorded when it first meets a kind of them, and replayed."""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from funcnn import tree
from funcnn.compiled.numbers import NotRecordableError
from funcnn.compiled.proof import proven
from funcnn.compiled.recognition import Signature, fitter, recognizer, signature_of
from funcnn.compiled.replay import GuardError, Program
from funcnn.threads import in_single_threaded_blas, single_threaded_blas

MOST_KINDS = 16
"""So many kinds of arguments are recorded; others run plain."""
MOST_BRANCHES = 3
"""So many recordings of one kind, which differ in a branch that the function takes."""

Recognizer = Callable[[Any, list[Any]], bool]


class _Kind(NamedTuple):
    """The recordings of arguments that differ in their numbers alone; none: they run plain."""

    programs: list[Program]
    same: Recognizer
    fits: Recognizer
    why: list[str]
    """Why there are no programs, or no more of them."""


class _Last(NamedTuple):
    """A first argument that the next call is likely to have."""

    kind: _Kind
    first: Any
    leaves: list[Any]
    block: Any
    """The bytes of its small leaves, if they lie in one piece."""


class Recordings:
    """What `function(first, second)` gives, bit by bit, mostly without calling it.

    first: what changes little from call to call; of a step a state, which the result has in its
    first place. A step keeps BLAS on one thread.
    """

    def __init__(self, function: Callable[[Any, Any], Any], *, is_step: bool) -> None:
        self._function, self._is_step = function, is_step
        self._around = single_threaded_blas if is_step else contextlib.nullcontext
        self.why: str | None = None
        """Why the last call was not replayed; None if it was, or was recorded."""
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._kinds: dict[Signature, _Kind] = {}
        self._last: _Last | None = None
        self._lock = threading.Lock()

    def begin_as_child(self) -> None:
        """A call of another thread's, which a fork cut off, never ends: begin anew."""
        if self._lock.locked():
            self._begin()

    def call(self, first: Any, second: Any) -> Any:
        """What the function gives; errors are its own."""
        # Memory that another thread replays in, or a call further out, is not for this one. (Two
        # that come at once wait for each other. Of `with` a Ctrl-C leaves no lock behind.)
        if self._lock.locked():
            return self._plain("another call is under way", first, second)
        with self._lock:
            return self._call(first, second)

    def _call(self, first: Any, second: Any) -> Any:
        last = self._last
        if last is not None and last.first is first:
            leaves = last.leaves.copy()
            try:
                known = last.kind.same(first, leaves) and last.kind.fits(second, leaves)
            except (KeyError, IndexError):  # an entry is gone
                known = False
            if known:
                return self._replay(last.kind, leaves, last.block, first, second)
        try:
            signature, leaves = signature_of((first, second))
        except (NotRecordableError, TypeError) as error:
            return self._plain(str(error), first, second)
        kind = self._kinds.get(signature)
        if kind is None:
            if len(self._kinds) == MOST_KINDS:
                return self._plain(f"there are {MOST_KINDS} kinds of arguments", first, second)
            kind = _Kind([], recognizer(first), fitter(second), [])
            result = self._record(kind, leaves, first, second)
            self._kinds[signature] = kind
            return result
        return self._replay(kind, leaves, None, first, second)

    def _plain(self, why: str, first: Any, second: Any) -> Any:
        self.why = why
        return self._function(first, second)

    def _replay(self, kind: _Kind, leaves: list[Any], block: Any, first: Any, second: Any) -> Any:
        for program in kind.programs:
            try:
                if not program.one_thread or in_single_threaded_blas():
                    result, carried, block_after = program.replay(leaves, block)
                else:
                    with self._around():
                        result, carried, block_after = program.replay(leaves, block)
            except GuardError:
                continue
            except Exception:  # the function's own error is more to the point
                return self._plain("the replay failed", first, second)
            if self._is_step and program.carries:
                self._last = _Last(kind, result[0], carried, block_after)
            elif (last := self._last) is None or last.first is not first or last.kind is not kind:
                number = len(leaves) - len(tree.leaves(second))
                self._last = _Last(kind, first, leaves[:number], None)
            if program is not kind.programs[0]:
                kind.programs.remove(program)
                kind.programs.insert(0, program)
            self.why = None
            return result
        if kind.why:
            return self._plain(kind.why[0], first, second)
        return self._record(kind, leaves, first, second)

    def _record(self, kind: _Kind, leaves: list[Any], first: Any, second: Any) -> Any:
        result = self._function(first, second)
        structure = tree.structure((first, second))
        number = len(tree.leaves(first))
        try:
            with self._around():
                program = proven(
                    self._function,
                    leaves,
                    lambda given: tree.unflatten(structure, given),
                    number,
                    result,
                )
        except NotRecordableError as error:
            self.why = str(error)
            kind.why.append(self.why)
            return result
        kind.programs.append(program)
        if len(kind.programs) == MOST_BRANCHES:
            kind.why.append("it branches on its numbers")
        self.why = None
        return result


_all: "weakref.WeakSet[Recordings]" = weakref.WeakSet()


def _begin_as_child() -> None:
    for recordings in _all:
        recordings.begin_as_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_as_child)
