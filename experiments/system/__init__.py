"""The machine underneath: processes, memory, locks, and what a measurement was made on."""
