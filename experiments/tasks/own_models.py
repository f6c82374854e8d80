"""A network of the user's own, with all that its file brings along: loss, optimizer, torch twins.

`model_files` reads one from `FILE.py:NAME`, and `experiments.train` makes one of a script's own. A
run keeps what it is (`record`), and whoever reads that gets a network that is built from its spec:
no text that was kept is ever executed.
"""

import contextlib
import hashlib
import inspect
import math
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn._arguments import shown
from funcnn.experiments.errors import InputError, kind_of
from funcnn.experiments.tasks.settings import as_option, parse_like
from funcnn.training import Metric
from funcnn.types import Array, Layer, Loss, Shape

REQUIRED = inspect.Parameter.empty
"""The default of a setting that has none."""


class Source(NamedTuple):
    """The text of the file that a network is from."""

    file: str
    """Its name, without the folder."""
    text: str

    @property
    def sha256(self) -> str:
        """The digest of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnModel:
    """A network of the user's own. Two with one name are as different as their files."""

    name: str
    """What the user calls it: `mine.py:cnn`, `package.module:cnn`, or of a script `cnn`."""
    make: Callable[..., Any]
    """`(input_shape, classes, **settings) -> layer`."""
    where: str
    """Where that is, for messages: `mine.py:12`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its settings with their defaults, or `REQUIRED`."""
    source: Source | None = None
    loss: Loss | None = None
    optimizer: Callable[[Callable[[Any], Any]], fn.Optimizer] | None = None
    """`(schedule) -> optimizer`."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    preprocess: Callable[[Array], Array] | None = None
    """Of a batch of stored inputs `(N, ...)`, in the place of the normalisation."""
    layers: Sequence[Callable[..., Layer]] = ()
    """Constructors of layers with a spec."""
    torch_modules: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Of such a layer, by its name: `(input_shape, **arguments of the spec) -> nn.Module`."""
    onnx_operators: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Of such a layer, by its name: `(graph, spec, x, shape) -> y`."""
    importable: bool = True
    """Whether another process has it by its name; what a script made, it has not."""
    recorded: "Record | None" = None
    """What a run kept of it, if it was read from that alone: of the rest above it has nothing."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self.name} goes to another process as what `told` says")

    def expect_importable(self) -> None:
        """Raise `InputError` if other processes do not have it, as what a script made."""
        if self.recorded is None and not self.importable:
            raise InputError(
                f"{self.name} is of a script, and other processes do not have it: put it into a "
                "file, and give FILE.py:NAME"
            )

    @property
    def told(self) -> dict[str, Any]:
        """What another process needs to have it too, see `references.own_as_told`."""
        self.expect_importable()
        record, source = self.recorded, self.source
        return {
            "name": self.name,
            "record": None if record is None else record._asdict(),
            "sha256": None if source is None else source.sha256,
        }

    def brings(self, part: str) -> bool:
        """Whether its file has such a part, `loss` for instance."""
        recorded = self.recorded is not None and part in self.recorded.parts
        return recorded or bool(getattr(self, part))

    def part(self, name: str) -> Any:
        """A part of its file. Raises `InputError` if that is not here, of what a run kept alone."""
        part = getattr(self, name)
        if part is None:
            raise InputError(f"the {name} is that of {self.name}: give --model {self.name}")
        return part

    def build(
        self,
        input_shape: Shape,
        classes: int,
        settings: Mapping[str, Any],
        *,
        binary: bool | None = None,
    ) -> Layer:
        """The network for such data. Raises `InputError`, with the place, if it is none.

        binary: whether it is to give one probability; None: of two classes either will do.
        """
        with self.running(self._called):
            made = self.make(input_shape, classes, **settings)
        if not isinstance(made, Layer):
            instead = "call it, as a layer" if callable(made) else "return a layer"
            raise InputError(
                f"{self.where}: {self._called} returns {kind_of(made)}, not a layer: {instead}, "
                "such as fn.serial(...)"
            )
        given = f"inputs of shape {input_shape}, {classes} classes"
        with self.running(f"{self._called} does not fit the data ({given})"):
            shape, _ = made.init(fn.random.SHAPES_ONLY, input_shape)
        self._expect_outputs(shape, classes, binary)
        return made

    def prepared(self, x: Array, shape: Shape | None = None) -> Array:
        """What `preprocess` makes of stored inputs `(N, ...)`, in float32.

        shape: of one of them, where that is known. Raises `InputError` if those are no inputs.
        """
        assert self.preprocess is not None
        stored = x.view()
        stored.flags.writeable = False  # the data of all later batches
        with self.running("preprocess"):
            array = np.asarray(self.preprocess(stored))
        if array.dtype.kind != "f" or array.shape[:1] != x.shape[:1]:
            raise InputError(
                f"{self.file}: preprocess gives {array.dtype} of shape {array.shape} for {len(x)} "
                f"inputs of shape {x.shape[1:]}: it must give as many, as floats"
            )
        if shape is not None and array.shape[1:] != shape:
            raise InputError(
                f"{self.file}: preprocess makes {array.shape[1:]} of {len(x)} inputs of shape "
                f"{x.shape[1:]}, and the network takes {shape}"
            )
        return array.astype(np.float32, copy=False)

    def measured(self, outputs: Array, targets: Array) -> dict[str, float]:
        """What its metrics say of outputs `(N, ...)`. Raises `InputError` if one says no number."""
        return {name: self.measure(name, outputs, targets) for name in self.metrics}

    def measure(self, name: str, outputs: Array, targets: Array) -> float:
        """What one of its metrics says, as `measured`."""
        with self.running(f"the metric {name}"):
            value = self.metrics[name](outputs, targets)
        number = np.asarray(value)
        if number.ndim or number.dtype.kind not in "biuf":
            raise InputError(f"{self.file}: the metric {name} gives {kind_of(value)}, not a number")
        return float(number)

    @contextlib.contextmanager
    def running(self, what: str) -> Iterator[None]:
        """Turn whatever its code raises into an `InputError` of one line, with the place."""
        try:
            yield
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{self.place_of(error)}: {what}: {in_words(error)}") from error

    @property
    def file(self) -> str:
        """The file that it is from, for messages."""
        return self.where.partition(":")[0]

    def _expect_outputs(self, shape: Shape, classes: int, binary: bool | None) -> None:
        if binary is None and classes == 2 and shape == (1,):
            return
        wanted = (1,) if binary else (classes,)
        if shape != wanted:
            of = (
                f"points need {wanted}, a probability"
                if binary
                else f"{classes} classes need {wanted}"
            )
            raise InputError(
                f"{self.where}: {self._called} does not fit the data: its outputs have the shape "
                f"{shape}, and {of}"
            )

    def place_of(self, error: BaseException) -> str:
        """File and line of the user's own that an error came from, as far as is known."""
        found = self.where
        for frame, line in frames_of(error):
            if self.source is not None and Path(frame.f_code.co_filename).name == self.source.file:
                found = f"{self.source.file}:{line}"
        return found

    @property
    def _called(self) -> str:
        return self.name.rpartition(":")[2]

    def parse(self, keyword: str, text: str, option: str = "--set") -> Any:
        """A setting's value from a text, by the kind of its default. Raises `InputError`."""
        if keyword not in self.settings:
            raise InputError(self._unknown(keyword))
        default = self.settings[keyword]
        try:
            return parse_like(None if default is REQUIRED else default, text)
        except ValueError as error:
            raise InputError(f"{option} {keyword}={text}: {error}") from None

    def apart(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run, its own ones apart from the others, and all of them there.

        Raises `InputError` as `resolved`.
        """
        kept = settings.get("own_settings", {})
        if not isinstance(kept, dict):
            raise InputError(f"own_settings {kept}: must be an object")
        given = {name: _as_tuple(value) for name, value in kept.items()}
        given |= {name: _as_tuple(settings[name]) for name in settings if name in self.settings}
        others = {name: value for name, value in settings.items() if name not in self.settings}
        return others | {"own_settings": given if self.recorded else self.resolved(given)}

    def resolved(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings: the given ones, and the defaults of the others. Raises `InputError`."""
        for keyword in given:
            if keyword not in self.settings:
                raise InputError(self._unknown(keyword))
        values = {**self.settings, **given}
        wanting = [keyword for keyword, value in values.items() if value is REQUIRED]
        if wanting:
            raise InputError(f"{self.name} needs --set {wanting[0]}=VALUE: it has no default")
        for keyword, value in values.items():
            if not _is_plain(value):
                raise InputError(
                    f"{self.where}: the setting {keyword} is {shown(value)}: give a finite "
                    "number, a text, true, false, none, or a tuple of those"
                )
        return values

    def _unknown(self, keyword: str) -> str:
        defaults = ", ".join(
            keyword if value is REQUIRED else f"{keyword}={as_option(value)}"
            for keyword, value in self.settings.items()
        )
        return f"{self.name} has no setting {keyword!r} (known: {defaults or 'none'})"


def _as_tuple(value: Any) -> Any:
    """A list of JSON as the tuple that it was."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _is_plain(value: Any) -> bool:
    """Whether a config file can have it, and gives it back."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (bool, int, str))


def frames_of(error: BaseException) -> Iterator[tuple[types.FrameType, int]]:
    """The frames that an error came by, with their lines, and then those of its causes."""
    at: BaseException | None = error
    while at is not None:
        yield from traceback.walk_tb(at.__traceback__)
        at = at.__cause__


def in_words(error: BaseException) -> str:
    """What an error of the user's own code says, on one line."""
    text = " ".join(str(error).split())
    plain = isinstance(error, ValueError)
    return text if plain and text else f"{type(error).__name__}{text and f': {text}'}"


class Record(NamedTuple):
    """What a run keeps of the network that it trained."""

    name: str
    spec: dict[str, Any] | None
    """None: it has none, so that it cannot be built without its file."""
    parts: list[str]
    """What else is from its file: `loss`, `preprocess`, ..."""
    file: str | None
    sha256: str | None
    """Of the file's text, which is beside the record."""
