"""What is to be learned: the settings of a run, and the network and data that they stand for."""
