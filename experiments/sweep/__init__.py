"""Every combination of some settings, trained here or on a cluster, and compared."""
