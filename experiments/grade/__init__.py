"""A student's archive or folder held against a lab's sheet, for teachers.

`hand_in` finds its files, with `zip_members` and `names`; `notebooks`, `python_sources` and
`classes` parse them; `file_rules`, `csv_rules`, `weight_rules`, `import_rules`, `class_rules`,
`point_rules` and `printed_rules` are the rules, with `floors`; `sheets` says which of them each lab
has, and `grading` puts the table together. Nothing is run, but what `run_rules` gives `sandbox`.
"""
