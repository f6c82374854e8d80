"""What a lab wants handed in: `deliverables` declares it, and `submit` has it made and writes it.

`files` makes the bytes, of `networks`, notebooks (`notebook_builder`, `notebook_runner`) and
`standalone` code; `rules` checks them as the lab would.
"""
