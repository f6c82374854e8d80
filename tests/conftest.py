"""Every test runs with warnings as errors, and with floating-point errors raised."""

from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("funcnn", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("funcnn")


@pytest.fixture(autouse=True)
def floating_point_errors_raise() -> Iterator[None]:
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield
