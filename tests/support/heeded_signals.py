"""Begins of commands that heed a signal also where the tests run under nohup or in the background.

A process inherits which signals are ignored.
"""

HEEDING_SIGINT = ("env", "--default-signal=INT")
HEEDING_SIGHUP = ("env", "--default-signal=HUP")
