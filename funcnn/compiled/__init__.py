"""Steps recorded once and replayed, by NumPy or in C, without our Python between the calls.

`arrays` and `numbers` see what is done in a step, and `recorder` writes it down on a `tape`, which
is plain data. `settle` and `fusion` rearrange it, `segments` hands to C what `instructions` can say
to it, divided by `lanes`, and `native` runs that. `placement` finds room, `source` (by `names`)
writes a function that does it all again, and `replay` is that function. `proof` makes sure of it;
`recordings` has one for each kind of arguments, unless there is `own_code`. `step` and `apply` are
what a user gets. No layer and no optimizer knows of this room.
"""
