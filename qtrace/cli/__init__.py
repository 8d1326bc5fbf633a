"""The command line: one verb in each file. The only room that prints or exits."""
