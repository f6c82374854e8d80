"""A trained network as two files of Python that need NumPy alone."""
