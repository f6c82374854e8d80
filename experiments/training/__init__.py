"""Runs: trained, stopped, resumed, kept in a folder, and used to predict."""
