"""From data sets to results: configurations, training runs, figures."""
