"""Steps recorded once and replayed by NumPy, without our Python between its calls.

`arrays` and `numbers` see what is done in a step, `recorder` writes it down on a `tape`, which is
plain data; `proof` makes sure of it, `placement` finds room for it, and `replay` does it again.
`step` and `apply` are what a user gets. No layer and no optimizer knows of this room.
"""
