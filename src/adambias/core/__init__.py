"""What every package stands on: errors, validation, files, processes.

Nothing here knows what an optimizer is.
"""
