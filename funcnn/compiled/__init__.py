"""Steps recorded once and replayed by NumPy, without our Python between its calls.

`arrays` and `numbers` see what is done in a step, and `recorder` writes it down on a `tape`, which
is plain data. `settle` and `fusion` rearrange it, `placement` finds room for it, `source` (by
`names`) writes a function that does it again, and `replay` is that function. `proof` makes sure of
it; `recordings` has one for each kind of arguments, unless there is `own_code`. `step` and `apply`
are what a user gets. No layer and no optimizer knows of this room.
"""
