"""The words and rules of district heating. Pure: no input or output, no database, no framework, time passed in."""
