"""What runs beside a student's code in the sandbox: text of programs, never imported by funcnn.

Each is `begin` and one other, put together, and stands on the standard library and on what the lab
allows. Its last line of output is a token and JSON. The token keeps what is printed apart from what
is told, and no more: the student's code runs in the same process, finds the token if it looks for
it, and can tell what it likes. What is told is as true as that code.
"""
