"""One reader for each form that data come in, and the choice among them by path."""
