"""The networks that are trained, with their normalisation and initial weights."""
