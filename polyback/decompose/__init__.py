"""Optional features written in required methods, for devices that do not offer them: one family a
file. :mod:`polyback.structured` chooses.
"""
