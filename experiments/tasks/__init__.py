"""What is to be learned: the settings of a run, and the network and data that they stand for.

`config` has every setting with its range and default, `architectures` what a network brings of its
own; `task` and `build` make them real.
"""
