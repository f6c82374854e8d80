"""Training steps of funcnn timed beside those of other libraries."""
