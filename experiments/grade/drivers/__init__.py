"""What runs beside a student's code in the sandbox: text of programs, never imported by funcnn.

Each is `begin` and one other, put together, and stands on the standard library and on what the lab
allows. Its last line of output is a token that the student's code is not told, and JSON.
"""
