"""Models as files of other libraries, and such files as models."""
