"""A student's archive or folder held against a lab's sheet, for teachers; nothing of it is run.

`hand_in` finds its files, with `zip_members` and `names`; `notebooks` and `python_sources` parse
them; `file_rules`, `csv_rules`, `weight_rules`, `code_rules` and `printed_rules` are the rules,
`sheets` says which of them each lab has, and `grading` puts the table together.
"""
