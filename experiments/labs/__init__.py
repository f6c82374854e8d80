"""Five university labs, a page of declarations each, and what runs and reports them.

`registry` lists them, `run` takes one from data to report, of `sections` and `tables`. What is
handed in is declared in `hand_in.deliverables`.
"""
