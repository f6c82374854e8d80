"""From data sets to results, in rooms; imported as `funcnn.experiments`.

`data` reads, `tasks` says what is to be learned, `training` runs it, `pytorch` mirrors it;
`compare`, `export`, `bench`, `sweep`, `labs` and `hand_in` use that; `figures`, `reports` and
`system` serve them all.
"""
