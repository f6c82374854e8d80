"""Runs: `run` goes through the epochs, a `learner` does a step, `run_folder` has the files.

A stopped run goes on by `resumption`; `pool` and `worker` do several at once, `mpi_learner` one on
several machines; `model` and `predictions` use what came out. `callback` is told of it all.
"""
