"""Cognition: what a model is shown beside the present step, remembered or known, and who reads it.

Nothing is loaded here; import from the file that has the noun.
"""
