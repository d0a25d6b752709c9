"""The files that other systems and people read, all made from the one schema."""

FORMATS = ("gradescope", "classroom", "junit", "csv", "markdown")
