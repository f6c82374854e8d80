"""From data sets to results, in rooms; imported as `funcnn.experiments`.

`data` reads, `tasks` says what is to be learned, `training` runs it, `pytorch` mirrors it;
`compare`, `export`, `bench`, `sweep`, `labs` and `hand_in` use that; `figures`, `reports` and
`system` serve them all. What the commands do, a script does with `train`, `resume` and
`compare_with_torch`, of `scripts`.
"""

from typing import Any

__all__ = ["Run", "compare_with_torch", "resume", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'funcnn.experiments' has no attribute {name!r}")
    from funcnn.experiments import scripts  # it imports all the rooms

    return getattr(scripts, name)
